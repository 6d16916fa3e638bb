import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { bundleStart, encodeBundle, encodeBundleEntry } from "../../src/remote/http/bundle-codec.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { PutOptions } from "../../src/remote/object-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { expectSame } from "../store/support.ts";
import { withHeader } from "./forged.ts";
import {
  change,
  commitOf,
  contentOf,
  entriesOf,
  flipped,
  keyOfCommit,
  nextPush,
  openStore,
  randomBytes,
  Site,
  sourceOf,
  wholeEntry,
  world,
} from "./support.ts";

const large = (volume: Volume) => volume.import(sourceOf(randomBytes(2_500_000, 5)));

async function pushed(work?: (volume: Volume) => Promise<unknown>) {
  const made = await world();
  const push = await nextPush(made, work);
  return { ...made, ...push, site: new Site(push.before) };
}

const keysOf = async (site: Site) => [...(await contentOf(site.store)).keys()];

describe("a push in one request", () => {
  it.each([
    ["small", undefined],
    ["with segments", large],
  ])("%s: stored as it was sent; again it is 200 and changes nothing", async (_, work) => {
    const { site, id, objects, lsn, remote, volume } = await pushed(work);
    const first = await site.push(id, objects);
    expect(first.status, first.json.detail).toBe(201);
    expect(first.json).toEqual({ lsn, hash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const again = await site.push(id, objects);
    expect([again.status, again.json]).toEqual([200, first.json]);
    for (const { key } of objects) expectSame((await site.store.get(key))!, (await remote.get(key))!, key);
    const reader = await (await openStore(site.client())).volume("docs");
    await reader.hydrate();
    expect(reader.stateChecksum).toBe(volume.stateChecksum);
  });

  it("another commit is there: 409 diverged, and nothing of this one stays", async () => {
    const { site, id, objects, before } = await pushed(large);
    const rival = await (await openStore(before)).volume("docs");
    await change(rival, 5);
    const keys = await keysOf(site);
    const { status, json } = await site.push(id, objects);
    expect([status, json.code]).toEqual([409, "diverged"]);
    expect(await keysOf(site)).toEqual(keys);
  });

  it("one that is ahead: 409 conflict, and nothing of it stays", async () => {
    const { site, id, objects, before, lsn } = await pushed(large);
    await before.delete([keyOfCommit(id, lsn - 1)]);
    const keys = await keysOf(site);
    const { status, json } = await site.push(id, objects);
    expect([status, json.code]).toEqual([409, "conflict"]);
    expect(await keysOf(site)).toEqual(keys);
  });

  it("a lie in the commit takes its segments away again; in a segment, too", async () => {
    const { site, id, objects } = await pushed(large);
    const keys = await keysOf(site);
    const commit = commitOf(objects);
    const segments = objects.filter((object) => object !== commit);
    const lying = { ...commit, bytes: withHeader(commit.bytes, () => ({ time: 1 as never })) };
    expect((await site.push(id, [...segments, lying])).status).toBe(422);
    const [segment] = segments;
    expect((await site.push(id, [{ ...segment!, bytes: flipped(segment!.bytes, 99) }, commit])).status).toBe(
      422,
    );
    expect(await keysOf(site)).toEqual(keys);
    expect((await site.push(id, objects)).status).toBe(201);
  });

  it("what a segment of somebody else's attempt at this LSN is, stays", async () => {
    const { site, id, objects, before } = await pushed(large);
    const other = await nextPush(
      { ...(await world()), remote: before, volume: await (await openStore(before)).volume(id) },
      large,
    );
    const theirs = other.objects.find(({ key }) => key.includes("/segments/"))!;
    const target = new Site(other.before);
    await target.put(theirs.key, theirs.bytes);
    const commit = commitOf(objects);
    const lying = objects.map((object) =>
      object === commit ? { ...commit, bytes: flipped(commit.bytes, 40) } : object,
    );
    expect((await target.push(id, lying)).status).toBe(422);
    expect(await target.store.get(theirs.key)).toBeDefined();
    expect(site).toBeDefined();
  });

  it.each([
    ["no commit", (own: Parts) => [...own.segments]],
    ["the commit twice", (own: Parts) => [...own.segments, own.commit, own.commit]],
    ["a segment behind the commit", (own: Parts) => [own.commit, ...own.segments]],
    ["a tag", (own: Parts) => [{ key: "tags/docs/fffffffffffffffd", bytes: new Uint8Array(48) }, own.commit]],
    ["a path", (own: Parts) => [{ key: "../../etc/passwd", bytes: new Uint8Array(4) }, own.commit]],
    [
      "another volume's object",
      (own: Parts) => [{ key: own.commit.key.replace(/\/0./, "/00"), bytes: own.commit.bytes }],
    ],
    [
      "a part of a segment",
      (own: Parts) => own.segments.map(({ key, bytes }) => ({ key, bytes: bytes.subarray(5) })),
    ],
  ])("%s: 422, and nothing stays", async (_, make) => {
    const { site, id, objects } = await pushed(large);
    const keys = await keysOf(site);
    const commit = commitOf(objects);
    const parts = make({ commit, segments: objects.filter((object) => object !== commit) });
    const { status, json } = await site.push(id, parts);
    expect([status, json.code], json.detail).toEqual([422, "invalid"]);
    expect(await keysOf(site)).toEqual(keys);
  });

  it("no bundle, half a bundle, entries that lie about their size: refused, and nothing stays", async () => {
    const { site, id, objects } = await pushed(large);
    const keys = await keysOf(site);
    const send = async (body: Uint8Array) =>
      (await site.call("POST", `/v1/volumes/${id}/commits`, { body })).status;
    const whole = encodeBundle(objects.map(({ key, bytes }) => wholeEntry(key, bytes)));
    expect(await send(new Uint8Array(0))).toBe(400);
    expect(await send(new TextEncoder().encode("hello, world"))).toBe(422);
    expect(await send(flipped(whole, 0))).toBe(422);
    for (const share of [0.1, 0.5, 0.9, 0.999])
      expect(await send(whole.subarray(0, whole.length * share))).toBe(400);
    // All but the last byte of the end: the commit has come, and is not stored.
    expect(await send(whole.subarray(0, whole.length - 1))).toBe(400);
    const huge = encodeBundleEntry(wholeEntry(objects[0]!.key, new Uint8Array(8)))[0]!.slice();
    new DataView(huge.buffer).setUint32(19, 0xffff_ffff, true);
    expect(await send(new Uint8Array([...bundleStart(), ...huge]))).toBe(422);
    expect(await keysOf(site)).toEqual(keys);
    expect(await send(whole)).toBe(201);
  });

  it("a sender that goes away in the middle leaves nothing, and its repetition comes through", async () => {
    const { site, id, objects } = await pushed(large);
    const keys = await keysOf(site);
    const whole = encodeBundle(objects.map(({ key, bytes }) => wholeEntry(key, bytes)));
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent >= whole.length - 100) controller.error(new Error("connection reset"));
        else controller.enqueue(whole.slice(sent, Math.min(sent + 65_536, whole.length - 100)));
        sent += 65_536;
      },
    });
    const [cut, again] = await Promise.all([
      site.call("POST", `/v1/volumes/${id}/commits`, { body }),
      site.push(id, objects),
    ]);
    expect(cut.status).toBe(400);
    expect(again.status).toBe(201);
    expect((await keysOf(site)).length).toBe(keys.length + objects.length);
    const { json } = await site.get("/v1/volumes/docs");
    expect(json.lsn).toBe(5);
  });

  it("uploads wait for memory rather than take it", async () => {
    const { before, id, objects } = await pushed(large);
    const site = new Site(before, { settings: { uploadBytes: 1000 } });
    const [first, second] = await Promise.all([site.push(id, objects), site.push(id, objects)]);
    expect([first.status, second.status].sort()).toEqual([200, 201]);
  });
});

describe("honest pushes", () => {
  it("of any shape are taken, on a volume and on its fork, and every state adds up", async () => {
    const step = fc.record({
      kind: fc.constantFrom("write", "write", "write", "zero", "cut", "grow", "replace"),
      page: fc.nat(40),
      seed: fc.nat(1000),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 12 }),
        fc.nat(5),
        async (steps, forkAfter) => {
          const { remote } = await world({ commits: 1 });
          const recorder = new MemoryRecorder();
          const site = new Site(remote, { recorder });
          const engine = await openStore(site.client());
          let volume = await engine.volume("docs");
          for (const [i, { kind, page, seed }] of steps.entries()) {
            if (kind === "write") await volume.write(page * 4096 + 7, randomBytes(5000, seed));
            else if (kind === "zero") await volume.write(page * 4096, new Uint8Array(9000));
            else if (kind === "cut") await volume.truncate(page * 2048);
            else if (kind === "grow") await volume.truncate(volume.status().byteLength + page * 4096);
            else await volume.import(sourceOf(randomBytes(1 + page * 3000, seed)));
            await volume.push();
            if (i === forkAfter) volume = await engine.fork("docs", { tag: "fork" });
          }
          expect(recorder.get("server.checksums_unknown")).toBe(0);
          const reader = await (await openStore(remote)).volume(volume.id);
          await reader.verify();
        },
      ),
      { numRuns: 15 },
    );
  });

  it("are taken where an older object is damaged: nobody is kept from writing by that", async () => {
    const made = await world({ bytes: 2_000_000, commits: 1 });
    const { before, objects } = await nextPush(made, (volume) => change(volume, 5));
    const old = (await before.list("volumes/")).find(({ key }) => key.includes("/segments/"))!;
    await before.put(old.key, flipped((await before.get(old.key))!, old.size - 100));
    const recorder = new MemoryRecorder();
    const site = new Site(before, { recorder });
    expect((await site.push(made.id, objects)).status).toBe(201);
    expect(recorder.get("server.checksums_unknown")).toBe(1);
  });
});

interface Parts {
  readonly commit: { readonly key: string; readonly bytes: Uint8Array };
  readonly segments: readonly { readonly key: string; readonly bytes: Uint8Array }[];
}

/** A store that says that another was faster, though nobody was: the attempt of the same call came through unseen. */
class Forgetful extends MemoryObjectStore {
  armed = false;

  override async put(key: string, body: Uint8Array, options: PutOptions = {}): Promise<"created" | "exists"> {
    const outcome = await super.put(key, body, options);
    return this.armed && key.includes("/commits/") ? "exists" : outcome;
  }
}

describe("between servers", () => {
  it("invariant 5: writers that race through two servers: exactly one wins each LSN, and nobody loses data silently", async () => {
    const { remote, id } = await world({ commits: 1 });
    const sites = [new Site(remote), new Site(remote)];
    const writers = await Promise.all(
      Array.from({ length: 6 }, async (_, i) => (await openStore(sites[i % 2]!.client())).volume("docs")),
    );
    const won = new Map<number, number>();
    await Promise.all(
      writers.map(async (volume, i) => {
        for (let k = 0; k < 4; k++) {
          await volume.write(i * 4096, randomBytes(50, 100 * i + k));
          for (;;) {
            try {
              const { lsn } = await volume.push();
              expect(won.has(lsn), `LSN ${lsn} was won twice`).toBe(false);
              won.set(lsn, i);
              break;
            } catch (error) {
              expect((error as { code?: string }).code).toBe("diverged");
              await volume.reset({ pull: true });
              await volume.write(i * 4096, randomBytes(50, 100 * i + k));
            }
          }
        }
      }),
    );
    expect([...won.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: 24 }, (_, k) => k + 3));
    const reader = await (await openStore(remote)).volume(id);
    await reader.verify();
    for (const [i] of writers.entries()) {
      expect(await reader.read(i * 4096, 50)).toEqual(randomBytes(50, 100 * i + 3));
    }
    const entries = await entriesOf((await sites[0]!.get("/v1/volumes/docs/commits")).bytes);
    expect(entries.length).toBe(26);
  });

  it("different commits for one LSN, sent to two servers at once: one is 201, the others are 409", async () => {
    const base = await world();
    const pushes = await Promise.all(
      [11, 12, 13, 14].map(async (seed) => {
        const clone = base.remote.clone();
        const volume = await (await openStore(clone)).volume("docs");
        return nextPush({ ...base, remote: clone, volume }, (each) => change(each, 100 + seed));
      }),
    );
    const sites = [new Site(base.remote), new Site(base.remote)];
    const answers = await Promise.all(pushes.map(({ objects }, i) => sites[i % 2]!.push(base.id, objects)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409]);
    for (const { status, json } of answers) if (status === 409) expect(json.code).toBe("diverged");
  });

  it("invariant 2: a create that may yet come through takes nothing with it that the commit names", async () => {
    const made = await world();
    const { before, objects, lsn } = await nextPush(made, large);
    // The answer is lost, and the request arrives when the sender was told so long ago.
    let late: (() => Promise<unknown>) | undefined;
    const put = before.put.bind(before);
    Object.assign(before, {
      put: async (...args: Parameters<typeof put>) => {
        if (!args[0].includes("/commits/") || late !== undefined) return put(...args);
        late = () => put(...args);
        throw new PagefoldError("unavailable", "no answer came", { retryable: false });
      },
    });
    const site = new Site(before);
    const { status, json } = await site.push(made.id, objects);
    expect([status, json.code, json.details.outcome]).toEqual([503, "unavailable", "unknown"]);
    await late?.();
    const reader = await (await openStore(before)).volume("docs");
    expect(reader.status().lsn).toBe(lsn);
    await reader.verify();
    expect((await site.push(made.id, objects)).status).toBe(200);
  });

  it("a create that came through unseen is known for one's own", async () => {
    const made = await world();
    const { objects, lsn } = await nextPush(made);
    const store = new Forgetful();
    const { before } = await nextPush(await world());
    expect(before).toBeDefined();
    for (const [key, bytes] of await contentOf(made.remote)) {
      if (!objects.some((object) => object.key === key)) await store.put(key, bytes);
    }
    store.armed = true;
    const { status, json } = await new Site(store).push(made.id, objects);
    expect([status, json.lsn]).toEqual([200, lsn]);
  });
});
