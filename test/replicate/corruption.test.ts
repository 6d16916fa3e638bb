/**
 * Invariant 7: whatever happens to the objects of a volume, a reader gets the right bytes or an error that says where it looked, never wrong
 * bytes, and nothing wrong stays behind once the object is as it was.
 */
import { beforeAll, describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { decodeCommit, encodeCommit } from "../../src/format/commit-codec.ts";
import { type FrameEncoder, inlineFrameEncoder } from "../../src/format/frame-encoder.ts";
import {
  commitKey,
  lsnOfCommitKey,
  manifestKey,
  segmentsPrefix,
  volumePrefix,
} from "../../src/format/keys.ts";
import type { CommitHeader } from "../../src/format/model.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { wantsMore } from "../more.ts";
import {
  codecs,
  expectSame,
  failure,
  MemorySink,
  openStore,
  randomBytes,
  sourceOf,
  textBytes,
} from "../store/support.ts";

const PAGE = 4096;
const settings = { frameBytes: 4 * PAGE, readAhead: undefined };

/** A small volume: inline commits, one large enough for a segment of its own, zeroed pages, a shrink. */
async function build(
  objects: MemoryObjectStore,
  seed: number,
): Promise<{ volume: Volume; content: Uint8Array }> {
  const store = await openStore(objects, { settings });
  const volume = await store.createVolume({ tag: `t${seed}`, pageSize: PAGE });
  const put = async (offset: number, bytes: Uint8Array) => {
    await volume.write(offset, bytes);
    await volume.push();
  };
  await put(0, textBytes(20 * PAGE, seed));
  await volume.import(sourceOf(randomBytes(300 * PAGE, seed)));
  await put(5 * PAGE, randomBytes(3 * PAGE, seed + 1));
  await put(40 * PAGE, new Uint8Array(2 * PAGE));
  await volume.truncate(280 * PAGE + 100);
  await put(100 * PAGE, textBytes(30 * PAGE, seed + 2));
  await put(7, textBytes(10, seed + 3));
  await volume.pull();
  const content = await volume.read(0, 1e9);
  return { volume, content };
}

const objects = new MemoryObjectStore();
let content: Uint8Array;
let volume: Volume;
let keys: string[];

beforeAll(async () => {
  const built = await build(objects, 5);
  content = built.content;
  volume = built.volume;
  keys = (await objects.list(volumePrefix(volume.id))).map(({ key }) => key);
  expect(keys.filter((key) => key.startsWith(segmentsPrefix(volume.id))).length).toBeGreaterThan(0);
});

/** Reads page by page: right bytes, or `corrupt` or `not_found` with the place. Answers which pages failed. */
async function readPages(from: Volume, expected = content): Promise<number[]> {
  const failed: number[] = [];
  const snapshot = from.snapshot();
  for (let page = 0; page * PAGE < expected.length; page++) {
    try {
      const bytes = await snapshot.read(page * PAGE, PAGE);
      expectSame(bytes, expected.subarray(page * PAGE, (page + 1) * PAGE), `page ${page + 1}`);
    } catch (error) {
      if (!isPagefoldError(error)) throw error;
      expect(["corrupt", "not_found"], error.message).toContain(error.code);
      expect(error.details.volume).toBe(from.id);
      expect(error.details.lsn).toBeGreaterThan(0);
      failed.push(page + 1);
    }
  }
  snapshot.close();
  return failed;
}

/** The way a damaged object must be met by a fresh replica, and by the same replica after the object was restored. */
async function meets(
  key: string,
  bytes: Uint8Array | undefined,
): Promise<{ failed: number[]; opened: boolean }> {
  const damaged = objects.clone();
  const good = (await objects.get(key))!;
  if (bytes === undefined) await damaged.delete([key]);
  else await damaged.put(key, bytes);
  const store = await openStore(damaged, { settings });
  try {
    let opened: Volume;
    try {
      opened = await store.volume(volume.id);
    } catch (error) {
      if (!isPagefoldError(error)) throw error;
      expect(["corrupt", "not_found", "unsupported_version"], error.message).toContain(error.code);
      await damaged.put(key, good);
      opened = await store.volume(volume.id);
      expect(await readPages(opened), "restored: everything is readable").toEqual([]);
      return { failed: [], opened: false };
    }
    const failed = await readPages(opened);
    await damaged.put(key, good);
    expect(await readPages(opened), "nothing wrong was cached").toEqual([]);
    return { failed, opened: true };
  } finally {
    await store.close();
  }
}

describe("invariant 7: damage to any object", () => {
  it("a flipped bit anywhere", async () => {
    for (const key of keys) {
      if (key.endsWith("/head")) continue;
      const good = (await objects.get(key))!;
      const step = Math.max(1, Math.floor(good.length / (wantsMore ? 14 : 8)));
      for (let at = 0; at < good.length; at += step) {
        const bad = good.slice();
        bad[at]! ^= 1 << (at % 8);
        const { failed } = await meets(key, bad);
        expect(failed.length, `${key} byte ${at}: other pages are readable`).toBeLessThan(281);
      }
    }
  });

  it("truncated to any length, or gone", async () => {
    for (const key of keys) {
      if (key.endsWith("/head")) continue;
      const good = (await objects.get(key))!;
      for (const share of [0, 0.01, 0.3, 0.7, 0.99])
        await meets(key, good.slice(0, Math.floor(good.length * share)));
      // Without its newest commit a store is what it was before: nothing tells a new reader.
      if (lsnOfCommitKey(key) !== volume.status().lsn) await meets(key, undefined);
    }
  });

  it("a missing segment names volume, LSN, segment and frame, and the rest is readable", async () => {
    const damaged = objects.clone();
    const [segment] = (await damaged.list(segmentsPrefix(volume.id))).map(({ key }) => key);
    await damaged.delete([segment!]);
    const store = await openStore(damaged, { settings });
    const opened = await store.volume(volume.id);
    const error = await failure(opened.read(60 * PAGE, PAGE), "corrupt");
    expect(error.details).toMatchObject({
      volume: volume.id,
      lsn: 2,
      segment: expect.any(String),
      key: segment,
    });
    expect(error.message).toContain("other pages are still readable");
    expectSame(await opened.read(100 * PAGE, PAGE), content.subarray(100 * PAGE, 101 * PAGE));
    await failure(opened.verify(), "corrupt");
    await failure(opened.hydrate(), "corrupt");
    await failure(opened.export(new MemorySink()), "corrupt");
  });

  it("a damaged frame names its number", async () => {
    const damaged = objects.clone();
    const [segment] = (await damaged.list(segmentsPrefix(volume.id))).map(({ key }) => key);
    const bytes = (await damaged.get(segment!))!;
    bytes[2 * settings.frameBytes + 77]! ^= 1;
    await damaged.put(segment!, bytes);
    const opened = await (await openStore(damaged, { settings })).volume(volume.id);
    const failed = await readPages(opened);
    expect(failed.length).toBeGreaterThan(0);
    expect(failed.length).toBeLessThanOrEqual(4);
    const error = await failure(opened.read((failed[0]! - 1) * PAGE, 1), "corrupt");
    expect(error.details).toMatchObject({ lsn: 2, segment: expect.any(String), frame: expect.any(Number) });
  });

  it("two frames swapped (raw ones of one length), two segments swapped, two commits swapped", async () => {
    const [segment] = (await objects.list(segmentsPrefix(volume.id))).map(({ key }) => key);
    const swapped = (await objects.get(segment!))!;
    const frame = settings.frameBytes;
    const first = swapped.slice(0, frame);
    swapped.copyWithin(0, frame, 2 * frame);
    swapped.set(first, frame);
    const { failed } = await meets(segment!, swapped);
    // Pages 1-4 and 6-8 of these frames were overwritten since or are damaged; nothing wrong was shown.
    expect(failed.length).toBeGreaterThan(0);

    const other = new MemoryObjectStore();
    const { volume: stranger } = await build(other, 77);
    for (const key of keys) {
      const theirs = key.replace(volume.id, stranger.id);
      const twin = (await other.get(theirs)) ?? (await firstOf(other, segmentsPrefix(stranger.id)));
      await meets(key, twin);
    }
    const commits = keys.filter((key) => lsnOfCommitKey(key) !== undefined);
    for (const [i, key] of commits.entries())
      await meets(key, await objects.get(commits[(i + 1) % commits.length]!));
  });
});

async function firstOf(store: MemoryObjectStore, prefix: string): Promise<Uint8Array> {
  const [entry] = await store.list(prefix, { limit: 1 });
  return (await store.get(entry!.key))!;
}

/** The same volume whose commit `lsn` says something else, hashed and framed as if it were right. */
async function lying(
  lsn: number,
  change: (header: CommitHeader) => CommitHeader,
): Promise<MemoryObjectStore> {
  const store = objects.clone();
  const key = commitKey(volume.id, lsn as Lsn);
  const bytes = (await store.get(key))!;
  const commit = decodeCommit(bytes, codecs.hash);
  const bands = commit.bandExtents.map(({ offset, length }) => bytes.slice(offset, offset + length));
  const { offset, length } = commit.frames;
  const parts = { header: change(commit.header), bands, frames: bytes.slice(offset, offset + length) };
  await store.put(key, encodeCommit(parts, codecs.hash).bytes);
  return store;
}

describe("commits that lie", () => {
  it("about the page count, in the middle of the log: the chain does not fit", async () => {
    for (const lsn of [1, 2, 3, 4]) {
      const store = await lying(lsn, (header) => ({
        ...header,
        pageCount: (header.pageCount + 7) as typeof header.pageCount,
        byteLength: (header.pageCount + 7) * PAGE,
      }));
      const pages = await openStore(store, { settings });
      const cloned = await pages.volume(volume.id).catch((error) => error);
      if (isPagefoldError(cloned)) expect(cloned.code).toBe("corrupt");
      else {
        const failed = await readPages(cloned as Volume);
        expect(failed.length + 1).toBeGreaterThan(0);
        await failure((cloned as Volume).verify(), "corrupt");
      }
    }
  });

  it("a newest commit that claims fewer pages than it changed is corrupt at once", async () => {
    const head = volume.status().lsn;
    const store = objects.clone();
    const key = commitKey(volume.id, head as Lsn);
    const bytes = (await store.get(key))!;
    const { header } = decodeCommit(bytes, codecs.hash);
    expect(header.changed.last).toBeGreaterThan(0);
    await expect(
      lying(head, (h) => ({
        ...h,
        pageCount: 0 as typeof h.pageCount,
        lowestPageCount: 0 as typeof h.pageCount,
        byteLength: 0,
      })),
    ).rejects.toThrow("pagefold bug"); // not even our own encoder writes it
  });

  it("a newest commit that cuts pages off without saying so: the state checksum tells", async () => {
    const head = volume.status().lsn;
    const store = await lying(head, (h) => ({
      ...h,
      pageCount: 200 as typeof h.pageCount,
      lowestPageCount: 200 as typeof h.pageCount,
      byteLength: 200 * PAGE,
    }));
    const opened = await (await openStore(store, { settings })).volume(volume.id);
    for (const work of [opened.verify(), opened.hydrate(), opened.export(new MemorySink())]) {
      const error = await failure(work, "corrupt");
      expect(error.details).toMatchObject({ volume: volume.id, lsn: head });
    }
  });

  it("a commit that names another page set than its index holds", async () => {
    const head = volume.status().lsn;
    const store = await lying(head, (h) => {
      const segment = h.segments[0]!;
      return { ...h, segments: [{ ...segment, indexHash: segment.digestsHash }] };
    });
    const opened = await (await openStore(store, { settings })).volume(volume.id);
    const error = await failure(opened.read(0, 20), "corrupt");
    expect(error.details).toMatchObject({ lsn: head, segment: "inline" });
    expectSame(await opened.read(50 * PAGE, PAGE), content.subarray(50 * PAGE, 51 * PAGE), "other pages");
  });

  it("a lying rollup: a page assigned to a commit that never wrote it", async () => {
    // Pages 6-8 were written at LSN 3: a band of LSN 4 that says LSN 1 did so (page 6 is there too), or that 3 wrote page 30.
    const key = commitKey(volume.id, 4 as Lsn);
    const bytes = (await objects.get(key))!;
    const commit = decodeCommit(bytes, codecs.hash);
    expect(commit.bandExtents.length).toBe(2);
    for (const { offset, length } of commit.bandExtents) {
      for (let at = offset; at < offset + length; at++) {
        const bad = bytes.slice();
        bad[at]! ^= 2;
        const { opened } = await meets(key, bad);
        expect(opened, "a band within a commit is part of the log").toBe(false);
      }
    }
  });
});

describe("a decompression bomb", () => {
  it("is refused before it is unpacked, naming segment and frame; other pages are readable", async () => {
    const store = new MemoryObjectStore();
    const bomb = codecs.compress(new Uint8Array(64 * 2 ** 20));
    expect(bomb.bytes.length).toBeLessThan(4 * PAGE);
    const honest = inlineFrameEncoder(codecs);
    let armed = false;
    const encoder: FrameEncoder = {
      async encode(job) {
        const batch = await honest.encode(job);
        if (!armed) return batch;
        const [first, ...rest] = batch.frames;
        const hash = codecs.hash.frameHash(bomb.bytes);
        return { ...batch, frames: [{ ...first!, codec: bomb.codec, bytes: bomb.bytes, hash }, ...rest] };
      },
    };
    const pages = await openStore(store, { settings, encoder });
    const bombed = await pages.createVolume({ pageSize: PAGE });
    await bombed.write(0, textBytes(20 * PAGE, 1));
    await bombed.push();
    armed = true;
    await bombed.write(0, textBytes(8 * PAGE, 2));
    await bombed.push();
    const opened = await (await openStore(store, { settings })).volume(bombed.id);
    const before = process.memoryUsage().arrayBuffers;
    const error = await failure(opened.read(0, PAGE), "corrupt");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 2 ** 20);
    expect(error.details).toMatchObject({ volume: bombed.id, lsn: 2, segment: "inline", frame: 0 });
    expectSame(await opened.read(4 * PAGE, PAGE), textBytes(8 * PAGE, 2).subarray(4 * PAGE, 5 * PAGE));
    expectSame(await opened.read(10 * PAGE, PAGE), textBytes(20 * PAGE, 1).subarray(10 * PAGE, 11 * PAGE));
  });
});

describe("the newest commit's header", () => {
  // Nothing names its hash yet: the check in its prefix must find what is damaged.
  it("invariant 7: a flipped bit in it is found", async () => {
    const key = commitKey(volume.id, volume.status().lsn as Lsn);
    const good = (await objects.get(key))!;
    const { headerLength } = decodeCommit(good, codecs.hash);
    for (let at = 0; at < headerLength; at++) {
      const bad = good.slice();
      bad[at]! ^= 1;
      const store = objects.clone();
      await store.put(key, bad);
      const opened = await (await openStore(store, { settings })).volume(volume.id).catch((error) => error);
      expect(isPagefoldError(opened), `byte ${at}`).toBe(true);
    }
  });
});

describe("other stores and versions", () => {
  it("a newer format version is refused, and says so", async () => {
    for (const key of [manifestKey(volume.id), commitKey(volume.id, volume.status().lsn as Lsn)]) {
      const store = objects.clone();
      const bytes = (await store.get(key))!;
      bytes[4] = 2;
      await store.put(key, bytes);
      const error = await failure((await openStore(store)).volume(volume.id), "unsupported_version");
      expect(error.message).toMatch(/version/);
    }
  });

  it("a store restored from a backup: fetch, pull, push and import say diverged, and nothing is lost", async () => {
    const live = new MemoryObjectStore();
    const first = await build(live, 9);
    const backup = live.clone();
    const at = first.volume.status().lsn;
    await first.volume.write(0, textBytes(100, 1));
    await first.volume.push();
    expect(first.volume.status().lsn).toBe(at + 1);

    // The same process goes on with the store of yesterday behind the same address.
    for (const { key } of await live.list("volumes/"))
      if ((await backup.get(key)) === undefined) await live.delete([key]);
    for (const verb of [first.volume.fetch(), first.volume.pull()]) {
      const error = await failure(verb, "diverged");
      expect(error.message).toMatch(/backup/);
    }
    await first.volume.write(50, textBytes(10, 2));
    const local = await first.volume.read(0, 1e9);
    await failure(first.volume.push(), "diverged");
    expect(first.volume.status()).toMatchObject({ lsn: at + 1, ahead: 1 });
    expectSame(await first.volume.read(0, 1e9), local, "invariant 5: local commits are kept");
    expect(
      (await live.list(`volumes/${first.volume.id}/commits/`)).length,
      "invariant 4: no gap was made",
    ).toBe(at);
    await first.volume.reset();
    await failure(first.volume.import(sourceOf(textBytes(9000, 3))), "diverged", "conflict");
    expect((await live.list(`volumes/${first.volume.id}/commits/`)).length).toBe(at);
  });

  it("a restored store that others have written to since", async () => {
    const live = new MemoryObjectStore();
    const first = await build(live, 10);
    const backup = live.clone();
    await first.volume.write(0, textBytes(100, 1));
    await first.volume.push();
    const mine = await first.volume.read(0, 1e9);
    const other = await (await openStore(backup)).volume(first.volume.id);
    for (const n of [1, 2, 3]) {
      await other.write(n * 50, textBytes(20, n + 10));
      await other.push();
    }
    for (const { key } of await live.list("volumes/")) await live.delete([key]);
    for (const { key } of await backup.list("volumes/")) await live.put(key, (await backup.get(key))!);
    await failure(first.volume.pull(), "diverged");
    await first.volume.write(0, textBytes(3, 3));
    await failure(first.volume.push(), "diverged");
    expect((await first.volume.read(0, 1e9)).length).toBe(mine.length);
  });
});
