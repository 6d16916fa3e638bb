/** Invariant 7 turned around: whatever is not as it was written is found, named, and nothing else is. */
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { concatBytes } from "../../src/format/bytes.ts";
import { decodeCommit, encodeCommit } from "../../src/format/commit-codec.ts";
import { decodeFloor } from "../../src/format/floor-codec.ts";
import { bandInterval } from "../../src/format/jumps.ts";
import { checkpointKey, commitKey, parseComplement, rollupKey, volumePrefix } from "../../src/format/keys.ts";
import { decodeRollup, encodeRollup } from "../../src/format/rollup-codec.ts";
import type { VerifyProgress } from "../../src/history/verify/run.ts";
import type { VerifyOptions, VerifyResult } from "../../src/history/verify/verify.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import {
  codecs,
  failure,
  openStore,
  randomBytes,
  sourceOf,
  textBytes,
  WatchedStore,
} from "../store/support.ts";
import { HOUR, World } from "./collect-world.ts";
import { LongLog } from "./long-log.ts";

const PAGE = 512;
const settings = { frameBytes: 4 * PAGE, readAhead: undefined };

/** Inline commits, one with segments of its own, zeroed pages, a shrink, bands stored apart, checkpoints. */
async function build(): Promise<{ objects: MemoryObjectStore; id: string }> {
  const objects = new MemoryObjectStore();
  const log = await LongLog.create({
    ...{ store: objects, codecs, pageCount: 300, pageSize: PAGE, rideAlongBytes: 300 },
    checkpointAt: (lsn) => lsn % 16 === 0,
  });
  await log.grow(37);
  const store = await openStore(objects, { settings });
  const volume = await store.volume(log.volume);
  const put = async (offset: number, bytes: Uint8Array) => {
    await volume.write(offset, bytes);
    await volume.push();
  };
  await volume.import(sourceOf(randomBytes(2_300_000, 1)));
  await put(5 * PAGE, textBytes(30 * PAGE, 1));
  await put(40 * PAGE, new Uint8Array(20 * PAGE));
  await volume.truncate(3000 * PAGE + 100);
  await put(100 * PAGE, textBytes(3 * PAGE, 2));
  await volume.truncate(3200 * PAGE);
  await put(7, textBytes(10, 3));
  await store.close();
  return { objects, id: log.volume };
}

async function open(objects: MemoryObjectStore, id: string): Promise<Volume> {
  return (await openStore(objects, { settings })).volume(id);
}

const keysOf = async (objects: MemoryObjectStore, id: string) =>
  (await objects.list(volumePrefix(id as never)))
    .map(({ key }) => key)
    .filter((key) => !/manifest$|head$/.test(key));

/** All but what it cost. */
const outcome = ({ requests: _, bytesFetched: __, ...rest }: VerifyResult) => rest;

const deep: VerifyOptions = { deep: true, keepGoing: true };

/** That a verification comes to the same however often it is cut off, each time in the hands of somebody else. */
async function expectResumable(
  visitor: () => Promise<Volume>,
  options: VerifyOptions,
  every = 3,
): Promise<void> {
  const once = await (await visitor()).verify(options);
  const tokens = new Set<string>();
  await (await visitor()).verify({ ...options, onProgress: ({ token }) => tokens.add(token()) });
  expect(tokens.size).toBeGreaterThan(3);
  for (let stop = 1; stop <= tokens.size; stop += every) {
    let resume: string | undefined;
    let result: VerifyResult | undefined;
    for (let runs = 0; result === undefined; runs++) {
      const controller = new AbortController();
      let left = stop;
      let before: string | undefined;
      const volume = await visitor();
      // What a run has finished when it is cut off need not be done again: after so many pieces of work.
      const onProgress = ({ token }: VerifyProgress) => {
        const now = token();
        if (before !== undefined && before !== now && --left === 0) controller.abort();
        before = now;
      };
      try {
        const more = resume === undefined ? {} : { resume };
        result = await volume.verify({ ...options, ...more, onProgress, signal: controller.signal });
      } catch (error) {
        if (!isPagefoldError(error, "aborted")) throw error;
        resume = error.details.resume as string;
      }
      expect(runs).toBeLessThan(3 * tokens.size);
    }
    expect(outcome(result), `stopped after ${stop}`).toEqual(outcome(once));
  }
}

describe("verification", () => {
  it("of what is whole finds nothing, at any LSN", async () => {
    const { objects, id } = await build();
    const volume = await open(objects, id);
    const newest = volume.status().lsn;
    const parts = new Set<string>();
    const onProgress = ({ part, pages, commits }: VerifyProgress) => {
      parts.add(part);
      for (const { done, total } of [pages, commits]) expect(done).toBeLessThanOrEqual(total);
    };
    const whole = await volume.verify({ ...deep, onProgress });
    expect(whole).toMatchObject({ lsn: newest, commits: newest, findingCount: 0, findings: [] });
    expect(whole.deep).toMatchObject({ states: newest, lostBands: 0, lostCheckpoints: 0 });
    expect(whole.deep!.bands).toBeGreaterThan(30);
    expect(whole.deep!.checkpoints).toBe(2);
    expect([...parts]).toEqual(["log", "pages", "states"]);
    for (const lsn of [1, 20, 32, 38, 40, newest - 1]) {
      const past = await volume.verify({ lsn, ...deep });
      expect(past, `LSN ${lsn}`).toMatchObject({ lsn, commits: lsn, findingCount: 0 });
      expect(past.deep!.states).toBe(lsn);
      expect((await volume.verify({ lsn })).stateChecksum).toBe(past.stateChecksum);
    }
    expect(await volume.verify({ lsn: 0, deep: true })).toMatchObject({ lsn: 0, commits: 0, pages: 0 });
  });

  it("asks the store for what this side has cached, and for everything once", async () => {
    const { objects, id } = await build();
    const watched = new WatchedStore(objects);
    const store = await openStore(watched.store, { settings, runtime: watched.runtime });
    const volume = await store.volume(id);
    await volume.hydrate();
    const { requests, roundTrips, value } = await watched.cost(() => volume.verify());
    const segments = requests.filter(({ key }) => key.includes("/segments/"));
    expect(new Set(segments.map(({ key }) => key)).size).toBe(1);
    const headers = requests.filter(({ key }) => key.includes("/commits/"));
    // A header each, and more for what is in it where that is long.
    expect(headers.length).toBeLessThan(2 * value.commits + 10);
    expect(roundTrips).toBeLessThan(requests.length / 4);
    expect(value.requests).toBe(requests.filter(({ operation }) => operation === "get").length);
    expect(watched.mostAtOnce).toBeGreaterThan(8);
  });

  it("finds damage to any object, and names it", async () => {
    const { objects, id } = await build();
    const volume = await open(objects, id);
    let found = 0;
    const keys = await keysOf(objects, id);
    const isCommit = (key: string) => key.includes("/commits/");
    // All that is not a commit, and of those some that carry bands and some that do not.
    const some = keys.filter((key, i) => !isCommit(key) || i % 8 === 0);
    expect(some.filter(isCommit).length).toBeGreaterThan(4);
    for (const key of some) {
      const good = (await objects.get(key))!;
      // The beginning, the header, what follows it, the end.
      for (const at of new Set([2, 70, Math.floor(good.length / 2), good.length - 1])) {
        const bad = good.slice();
        bad[at]! ^= 0x20;
        await objects.put(key, bad);
        const { findings } = await volume.verify(deep);
        const named = findings.filter((finding) => finding.key === key);
        // The pages that a commit overwrote since are no part of the state; neither is a segment's footer, which no reader reads.
        const isDead = at > 100 && !/rollups|checkpoints/.test(key);
        if (!isDead) expect(named.length, `${key} at ${at}: ${JSON.stringify(findings)}`).toBeGreaterThan(0);
        if (named.length > 0) found++;
      }
      await objects.put(key, good);
    }
    expect(found).toBeGreaterThan(2 * some.length);
    expect((await volume.verify(deep)).findingCount).toBe(0);
  });

  it("names segment and frame; index and digest areas count as frames do", async () => {
    const { objects, id } = await build();
    const volume = await open(objects, id);
    const lsn = 38 as Lsn;
    const { header } = decodeCommit((await objects.get(commitKey(volume.id, lsn)))!, codecs.hash);
    const segment = header.segments[0]!;
    const key = (await keysOf(objects, id)).find((each) => each.endsWith(`-${segment.id}`))!;
    const good = (await objects.get(key))!;
    const flipped = async (at: number) => {
      const bad = good.slice();
      bad[at]! ^= 1;
      await objects.put(key, bad);
      const error = await failure(volume.verify(), "corrupt");
      expect(error.details).toMatchObject({ volume: id, lsn, segment: segment.id, key });
      expect(typeof error.details.resume).toBe("string");
      return error;
    };
    expect((await flipped(40 * PAGE * 4 + 9)).details.frame).toBe(40);
    expect((await flipped(segment.index.offset + 3)).message).toContain("index");
    expect((await flipped(segment.digests.offset + 3)).message).toContain("digest area");
    const cut = good.slice(0, good.length - 1000);
    await objects.put(key, cut);
    expect((await volume.verify({ keepGoing: true })).findingCount).toBeGreaterThan(0);
    await objects.put(key, good);
    await volume.verify();
  });

  it("collects everything that is wrong, where it is to go on", async () => {
    const { objects, id } = await build();
    const volume = await open(objects, id);
    const segments = (await keysOf(objects, id)).filter((key) => key.includes("/segments/"));
    for (const key of segments) {
      const bad = (await objects.get(key))!;
      for (const frame of [0, 3, 20, 33]) bad[frame * 4 * PAGE + 2000]! ^= 1;
      await objects.put(key, bad);
    }
    const bad = (await objects.get(commitKey(volume.id, 9 as Lsn)))!;
    bad[60]! ^= 1;
    await objects.put(commitKey(volume.id, 9 as Lsn), bad);
    const { findings, findingCount } = await volume.verify({ keepGoing: true });
    expect(findings.filter(({ lsn }) => lsn === 9).length).toBeGreaterThan(0);
    const frames = findings.filter(({ frame }) => frame !== undefined);
    // Frame 3 was overwritten whole since: no state that is verified has it.
    expect(frames.map(({ frame }) => frame)).toEqual([0, 20, 33]);
    expect(findings.length, "each thing once, and not that its absence shows").toBe(4);
    expect(findingCount).toBe(findings.length);
  });

  it("finds what is lost; of caches it says only that they are", async () => {
    const { objects, id } = await build();
    const volume = await open(objects, id);
    const keys = await keysOf(objects, id);
    for (const key of keys.filter((each, i) => !each.includes("/commits/") || i % 6 === 0)) {
      const good = (await objects.get(key))!;
      await objects.delete([key]);
      const { findings, deep: counts } = await volume.verify(deep);
      const lost = counts!.lostBands + counts!.lostCheckpoints;
      if (/rollups|checkpoints/.test(key)) {
        expect(findings, key).toEqual([]);
        expect(lost).toBeGreaterThan(0);
      } else {
        expect(
          findings.some((finding) => finding.key === key),
          `${key}: ${JSON.stringify(findings)}`,
        ).toBe(true);
      }
      await objects.put(key, good);
    }
  });

  it("invariant 11: cut off and resumed anywhere, it comes to the same", async () => {
    const { objects, id } = await build();
    const damaged = commitKey(id as never, 30 as Lsn);
    for (const [damage, options] of [
      [false, { deep: true }],
      [true, { keepGoing: true }],
    ] as const) {
      const good = (await objects.get(damaged))!;
      if (damage) {
        const bad = good.slice();
        bad[bad.length - 1]! ^= 1;
        await objects.put(damaged, bad);
      }
      await expectResumable(() => open(objects, id), options);
      await objects.put(damaged, good);
    }
  });

  it("invariant 11: so does one that is cut off between batches of commits", async () => {
    const objects = new MemoryObjectStore();
    const log = await LongLog.create({
      ...{ store: objects, codecs, pageCount: 100, pageSize: PAGE, rideAlongBytes: 2000 },
      checkpointAt: (lsn) => lsn % 128 === 0,
    });
    await log.grow(520);
    await expectResumable(() => open(objects, log.volume), { deep: true }, 2);
    for (const lsn of [500, 519]) {
      const key = commitKey(log.volume, lsn as Lsn);
      const good = (await objects.get(key))!;
      const bad = good.slice();
      bad[bad.length - 1]! ^= 1;
      await objects.put(key, bad);
      await expectResumable(() => open(objects, log.volume), { keepGoing: true }, 3);
      expect((await (await open(objects, log.volume)).verify({ keepGoing: true })).findingCount).toBe(1);
      await objects.put(key, good);
    }
    const { deep: counts } = await (await open(objects, log.volume)).verify({ deep: true });
    expect(counts).toMatchObject({ states: 520, checkpoints: 4 });
    // Every band, though some merge commits of several batches.
    expect(counts!.bands).toBe(260 + 130 + 65 + 32 + 16 + 8 + 4 + 2 + 1);
  });

  it("refuses to go on with another verification", async () => {
    const { objects, id } = await build();
    const volume = await open(objects, id);
    let token = "";
    const onProgress = (progress: VerifyProgress) => {
      token = progress.token();
    };
    await volume.verify({ onProgress });
    await failure(volume.verify({ resume: token, deep: true }), "invalid");
    await failure(volume.verify({ resume: token, lsn: 3 }), "invalid");
    await failure(volume.verify({ resume: "{" }), "invalid");
    await failure(volume.verify({ resume: "null" }), "invalid");
    await failure(volume.verify({ sample: 0 }), "invalid");
    await failure(volume.verify({ sample: 2.5 }), "invalid");
    await failure(volume.verify({ concurrency: 0 }), "invalid");
    // Done, it is done.
    expect((await volume.verify({ resume: token })).requests).toBeLessThan(5);
  });

  it("of a sample costs what the sample does, and finds what is in it", async () => {
    const { objects, id } = await build();
    const volume = await open(objects, id);
    const all = await volume.verify();
    const few = await volume.verify({ sample: 5 });
    expect(few).toMatchObject({ pages: 5, commits: 0 });
    expect(few.requests).toBeLessThan(25);
    expect((await volume.verify({ sample: 0.01 })).pages).toBe(Math.ceil(all.pages / 100));
    const key = (await keysOf(objects, id)).find((each) => each.includes("/segments/"))!;
    const bad = (await objects.get(key))!;
    bad[30 * 4 * PAGE + 5]! ^= 1;
    await objects.put(key, bad);
    await failure(volume.verify({ sample: 1 }), "corrupt");
    await failure(volume.verify({ sample: all.pages + 1000 }), "corrupt");
    let caught = 0;
    for (let i = 0; i < 60; i++) {
      const { findings } = await volume.verify({ sample: 150, keepGoing: true });
      for (const finding of findings) expect(finding.frame).toBe(30);
      caught += findings.length;
    }
    // 4 of some 3000 pages: each time with one chance in six or so.
    expect(caught).toBeGreaterThan(0);
    expect(caught).toBeLessThan(60);
  });
});

describe("lies that match their hashes", () => {
  /** A log whose newest commit, 16, was rewritten. */
  async function lying(
    change: (parts: Parameters<typeof encodeCommit>[0]) => Parameters<typeof encodeCommit>[0],
  ) {
    const objects = new MemoryObjectStore();
    const log = await LongLog.create({ store: objects, codecs, pageCount: 40, pageSize: PAGE });
    await log.grow(16);
    const key = commitKey(log.volume, 16 as Lsn);
    const bytes = (await objects.get(key))!;
    const { header, bandExtents, frames } = decodeCommit(bytes, codecs.hash);
    const bands = bandExtents.map(({ offset, length }) => bytes.slice(offset, offset + length));
    const { bytes: rewritten } = encodeCommit(
      change({ header, bands, frames: bytes.slice(frames.offset, frames.offset + frames.length) }),
      codecs.hash,
    );
    await objects.put(key, rewritten);
    return { objects, id: log.volume };
  }

  it("a band that leaves out what a commit wrote", async () => {
    const { objects, id } = await lying(({ header, bands, frames }) => {
      const band = decodeRollup(bands[2]!, bandInterval(16 as Lsn, 3));
      const changed = encodeRollup({ ...band, writers: band.writers.slice(1) });
      const next = [bands[0]!, bands[1]!, changed, bands[3]!];
      const refs = header.bands.map((ref, i) =>
        i === 2 ? { ...ref, length: changed.length, hash: codecs.hash.blake3(changed) } : ref,
      );
      return { header: { ...header, bands: refs }, bands: next, frames };
    });
    const volume = await open(objects, id);
    await failure(volume.verify(), "corrupt");
    const { findings } = await volume.verify(deep);
    expect(findings.some(({ lsn, message }) => lsn === 16 && message.includes("band 3"))).toBe(true);
    expect(findings.some(({ message }) => message.includes("page table"))).toBe(true);
  });

  it("a state checksum", async () => {
    const { objects, id } = await lying(({ header, ...rest }) => ({
      ...rest,
      header: { ...header, stateChecksum: (header.stateChecksum ^ 5n) as never },
    }));
    const volume = await open(objects, id);
    const { findings } = await volume.verify(deep);
    expect(findings.some(({ lsn, message }) => lsn === 16 && message.includes("digests of its pages"))).toBe(
      true,
    );
    // Before it, everything is as it was.
    expect((await volume.verify({ ...deep, lsn: 15 })).findingCount).toBe(0);
  });

  it("a jump hash, and a time before the parent's", async () => {
    for (const change of ["jump", "time"]) {
      const { objects, id } = await lying(({ header, ...rest }) => {
        const jumpHashes = [...header.jumpHashes];
        if (change === "jump") jumpHashes[2] = jumpHashes[3]!;
        const time = (change === "time" ? header.time - 10_000_000 : header.time) as never;
        return { ...rest, header: { ...header, jumpHashes, time } };
      });
      const store = await openStore(objects, { settings });
      const volume = await store.volume(id);
      const error = await failure(volume.verify(), "corrupt");
      expect(error.message).toContain(change === "jump" ? "commit 12" : "older than");
    }
  });

  it("bands stored apart that are another commit's", async () => {
    const { objects, id } = await build();
    const volume = await open(objects, id);
    const key = rollupKey(volume.id, 32 as Lsn);
    const other = (await objects.get(rollupKey(volume.id, 16 as Lsn)))!;
    const own = (await objects.get(key))!;
    await objects.put(key, concatBytes([other, own]).slice(0, own.length));
    const { findings } = await volume.verify(deep);
    expect(findings.every((finding) => finding.key === key)).toBe(true);
    expect(findings.length).toBeGreaterThan(0);
  });
});

describe("what is shared and moved", () => {
  it("forks, of forks, and what their parents did since", async () => {
    const { objects, id } = await build();
    const store = await openStore(objects, { settings });
    const fork = await store.fork(id, { lsn: 33 });
    await fork.write(3 * PAGE, textBytes(PAGE, 9));
    await fork.push();
    const second = await store.fork(fork.id);
    await second.write(9 * PAGE, textBytes(5 * PAGE, 10));
    await second.push();
    const untouched = await store.fork(id, { lsn: 20 });
    for (const [volume, lsn] of [
      [fork, 34],
      [second, 35],
      [untouched, 20],
    ] as const) {
      const result = await (await open(objects, volume.id)).verify(deep);
      expect(result).toMatchObject({ lsn, commits: lsn, findingCount: 0 });
      expect(result.deep!.states).toBe(lsn);
    }
    const bad = (await objects.get(commitKey(id as never, 12 as Lsn)))!;
    bad[80]! ^= 1;
    await objects.put(commitKey(id as never, 12 as Lsn), bad);
    const { findings } = await second.verify(deep);
    expect(findings[0]).toMatchObject({ volume: id, lsn: 12 });
  });

  it("restores, and restores of what was restored", async () => {
    const { objects, id } = await build();
    const store = await openStore(objects, { settings });
    const volume = await store.volume(id);
    const before = volume.status().lsn;
    await volume.restore({ at: 38 });
    await volume.write(3 * PAGE, textBytes(9 * PAGE, 9));
    await volume.push();
    await volume.restore({ at: before });
    await volume.restore({ at: 20 });
    const newest = volume.status().lsn;
    expect(newest).toBe(before + 4);
    const result = await (await open(objects, id)).verify(deep);
    expect(result).toMatchObject({ lsn: newest, findingCount: 0 });
    expect(result.deep!.states).toBe(newest);
  });

  it("a compacted volume: what the floor keeps, and what goes on from there", async () => {
    const { objects, id } = await build();
    const store = await openStore(objects, { settings });
    const volume = await store.volume(id);
    await volume.compact();
    await volume.write(0, textBytes(700, 4));
    await volume.push();
    const fresh = await open(objects, id);
    const result = await fresh.verify(deep);
    expect(result).toMatchObject({ findingCount: 0, lsn: volume.status().lsn });
    expect(result.deep!.checkpoints).toBeGreaterThan(0);
    for (const key of (await keysOf(objects, id)).filter((each) => each.includes("/compacted/"))) {
      const good = (await objects.get(key))!;
      const bad = good.slice();
      bad[99]! ^= 1;
      await objects.put(key, bad);
      const { findings } = await fresh.verify({ keepGoing: true });
      expect(findings.some((finding) => finding.key === key)).toBe(true);
      await objects.put(key, good);
    }
  });

  it("a collected volume: every state that its retention keeps, and its forks", async () => {
    const world = await World.create();
    await world.commit(12);
    const fork = await world.store.fork(world.volume.id, { lsn: 4 });
    await fork.write(0, textBytes(300, 1));
    await fork.push();
    await world.volume.setRetention({ all: "3h", keep: [2, 6] });
    await world.volume.collect();
    world.runtime.advance(2 * HOUR);
    const { floor, kept } = await world.volume.collect();
    await world.commit(2);
    const above = 14 - floor.after + 1;
    expect((await world.keys("commits")).length).toBeLessThan(8);
    const fresh = await world.visitor();
    const result = await fresh.verify(deep);
    expect(result).toMatchObject({ lsn: 14, commits: above, findingCount: 0, findings: [] });
    const below = kept.filter(({ lsn }) => lsn < floor.after).map(({ lsn }) => lsn);
    expect(below).toEqual([2, 4, 6]);
    expect(result.deep!.states).toBe(below.length + above);
    expect(await fresh.verify({ lsn: 6, ...deep })).toMatchObject({ lsn: 6, commits: 0, findingCount: 0 });
    const forked = await (await openStore(world.objects, { runtime: world.runtime })).volume(fork.id);
    expect(await forked.verify(deep)).toMatchObject({ lsn: 5, commits: 1, findingCount: 0 });
    await expectResumable(() => world.visitor(), { deep: true }, 2);
    // What was superseded, and waits for its grace period, is nobody's.
    const [newest] = await world.keys("floor");
    const n = parseComplement(newest!.slice(-16))!;
    const { checkpoints } = decodeFloor((await world.objects.get(newest!))!, codecs.hash, {
      volume: world.volume.id,
      n,
    });
    const named = checkpoints.map(({ lsn, hash }) => checkpointKey(world.volume.id, lsn, hash));
    for (const keys of [await world.placed(), named]) {
      for (const key of keys.filter((each) => each.includes(world.volume.id))) {
        const good = (await world.objects.get(key))!;
        await world.objects.delete([key]);
        const { findings, deep: counts } = await fresh.verify(deep);
        expect(findings.length + counts!.lostCheckpoints, `${key} is gone`).toBeGreaterThan(0);
        const bad = good.slice();
        bad[good.length - 70]! ^= 1;
        await world.objects.put(key, bad);
        const damaged = await fresh.verify(deep);
        expect(damaged.findingCount, `${key} is damaged`).toBeGreaterThan(0);
        await world.objects.put(key, good);
      }
    }
    expect((await fresh.verify(deep)).findingCount).toBe(0);
  });
});
