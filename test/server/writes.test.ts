/** Invariant 7 from the other side: nothing unverified gets into a store through the server, by the object plane or in a push. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import type { CommitHeader } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { encodeRollup, rollupOfCommit } from "../../src/format/rollup-codec.ts";
import type { Volume } from "../../src/store/volume.ts";
import { testSeed } from "../local/xxh64.ts";
import { OTHER_HASH, withBand, withHeader, withPageCounts, withTail } from "./forged.ts";
import {
  change,
  codecs,
  commitOf,
  contentOf,
  flipped,
  keyOfCommit,
  nextPush,
  openStore,
  randomBytes,
  Site,
  type StoredObject,
  sourceOf,
  world,
} from "./support.ts";

/** Enough for two segments' worth of one: larger than what rides in a commit. */
const large = (volume: Volume) => volume.import(sourceOf(randomBytes(2_500_000, 5)));

async function refusedPush(
  options: Parameters<typeof world>[0] = {},
  work?: (volume: Volume) => Promise<unknown>,
) {
  const made = await world(options);
  const push = await nextPush(made, work);
  return { ...made, ...push, site: new Site(push.before) };
}

/** That a push is refused with 422 (or as told), and leaves nothing: neither as one bundle nor object by object. */
async function expectRefused(
  site: Site,
  volume: string,
  objects: readonly StoredObject[],
  status = 422,
  code = "invalid",
): Promise<string> {
  const before = [...(await contentOf(site.store)).keys()];
  const answer = await site.push(volume, objects);
  expect([answer.status, answer.json.code], answer.json.detail).toEqual([status, code]);
  expect([...(await contentOf(site.store)).keys()]).toEqual(before);
  return answer.json.detail;
}

describe("commits that lie", () => {
  const lies: readonly [string, (header: CommitHeader) => Partial<CommitHeader>][] = [
    ["its parent", ({ jumpHashes }) => ({ jumpHashes: [OTHER_HASH, ...jumpHashes.slice(1)] })],
    ["a jump hash", ({ jumpHashes }) => ({ jumpHashes: [...jumpHashes.slice(0, -1), OTHER_HASH] })],
    ["its time", () => ({ time: 1 as never })],
    ["its page size", ({ pageCount }) => ({ pageSize: 8192, byteLength: pageCount * 8192 })],
    ["its state checksum", ({ stateChecksum }) => ({ stateChecksum: (stateChecksum ^ 1n) as never })],
    ["a checkpoint that is not there", () => ({ checkpoint: { lsn: 1 as never, hash: OTHER_HASH } })],
  ];

  it.each(lies)("%s", async (_, lie) => {
    // LSN 4: three jump hashes, two bands.
    const { site, id, objects } = await refusedPush({ commits: 2 });
    const { key, bytes } = commitOf(objects);
    const forged = withHeader(bytes, lie);
    await expectRefused(site, id, [{ key, bytes: forged }]);
    expect((await site.put(key, forged)).status).toBe(422);
    expect(await site.store.get(key)).toBeUndefined();
    // The honest one still goes through.
    expect((await site.push(id, objects)).status).toBe(201);
  });

  it("its volume, and its LSN", async () => {
    const { site, id, objects, engine } = await refusedPush();
    const other = await engine.createVolume();
    const { key, bytes } = commitOf(objects);
    const named = withHeader(bytes, () => ({ volume: other.id }));
    await expectRefused(site, id, [{ key, bytes: named }]);
    const { lsn } = decodeCommit(bytes, codecs.hash).header;
    await expectRefused(site, id, [{ key: keyOfCommit(id, lsn + 2), bytes }]);
  });

  it("its page count: more pages than it has bytes, a page beyond it", async () => {
    const { site, id, objects } = await refusedPush();
    const { key, bytes } = commitOf(objects);
    for (const bad of withPageCounts(bytes)) await expectRefused(site, id, [{ key, bytes: bad }]);
  });

  it("its pages: others in the header than in the segment", async () => {
    const { site, id, objects } = await refusedPush({}, async (volume) => {
      await volume.write(4096, randomBytes(3 * 4096, 9));
      await volume.push();
    });
    const { key, bytes } = commitOf(objects);
    const { header } = decodeCommit(bytes, codecs.hash);
    const [ref] = header.segments;
    // As many pages, first and last the same, one of those between is said to have become zeros.
    const changed = PageSet.of([2, 4]);
    const forged = withHeader(bytes, () => ({
      changed,
      zeroed: PageSet.of([3]),
      segments: [{ ...ref!, length: ref!.length, digests: { offset: ref!.digests.offset + 16, length: 32 } }],
    }));
    await expectRefused(site, id, [{ key, bytes: forged }]);
  });

  it("its frames, its read index, its digests: every byte behind the header is proved", async () => {
    const { site, objects } = await refusedPush({ commits: 2 });
    const { key, bytes } = commitOf(objects);
    const { headerLength } = decodeCommit(bytes, codecs.hash);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: bytes.length - headerLength - 1 }), async (at) => {
        const forged = withTail(bytes, (tail) => {
          tail[at] = tail[at]! ^ 0x10;
        });
        expect((await site.put(key, forged)).status).toBe(422);
      }),
      { seed: testSeed, numRuns: 40 },
    );
    expect(await site.store.get(key)).toBeUndefined();
  });

  it("any byte of it, and any length", async () => {
    const { site, id, objects } = await refusedPush({ commits: 2 });
    const { key, bytes } = commitOf(objects);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), async (at) => {
        expect((await site.put(key, flipped(bytes, at))).status).toBe(422);
        expect((await site.put(key, bytes.subarray(0, at))).status).toBe(422);
      }),
      { seed: testSeed, numRuns: 40 },
    );
    expect((await site.put(key, new Uint8Array([...bytes, 0]))).status).toBe(422);
    expect(await site.store.get(key)).toBeUndefined();
    expect((await site.push(id, objects)).status).toBe(201);
  });

  it("a band that is not what the commits before it say", async () => {
    // LSN 8 has three bands.
    const { site, id, objects } = await refusedPush({ commits: 6 });
    const { key, bytes } = commitOf(objects);
    const other = await refusedPush({ commits: 6 }, (volume) => change(volume, 211));
    const theirs = commitOf(other.objects).bytes;
    const { bandExtents } = decodeCommit(theirs, codecs.hash);
    const band = theirs.slice(bandExtents[2]!.offset, bandExtents[2]!.offset + bandExtents[2]!.length);
    // Consistent within itself: length and hash in the header are those of the band that it brings.
    const forged = withBand(bytes, 2, band);
    const detail = await expectRefused(site, id, [{ key, bytes: forged }]);
    expect(detail).toContain("band 3");
  });

  it("a band that is other bytes and says the same is taken, and read by everybody", async () => {
    // Commits 3 and 4 write the same page: what 3 wrote may be told in the band of 4, or left out.
    const { site, id, objects, before, lsn } = await refusedPush({ commits: 2 }, (volume) =>
      change(volume, 33),
    );
    expect(lsn).toBe(4);
    const { key, bytes } = commitOf(objects);
    const parent = decodeCommit((await before.get(keyOfCommit(id, 3)))!, codecs.hash);
    const whole = encodeRollup(rollupOfCommit(parent.header, parent.hash));
    const other = withBand(bytes, 0, whole);
    expect(decodeCommit(other, codecs.hash).header.bands[0]).not.toEqual(
      decodeCommit(bytes, codecs.hash).header.bands[0],
    );
    expect((await site.put(key, other)).status).toBe(201);
    const reader = await (await openStore(before)).volume(id);
    expect(reader.status().lsn).toBe(4);
    await reader.hydrate();
  });
});

describe("where a commit belongs", () => {
  it("one that exists is 412, the very same too; one ahead is 409; an older one is 412", async () => {
    const { site, id, objects, lsn } = await refusedPush();
    const { key, bytes } = commitOf(objects);
    const ahead = withHeader(bytes, () => ({}));
    expect((await site.put(keyOfCommit(id, lsn), ahead)).status).toBe(201);
    expect((await site.put(key, bytes)).status).toBe(412);
    const { volume } = await world({ commits: 1 });
    expect(volume.id).not.toBe(id);
    const later = await nextPush({ ...(await world({ commits: 5 })) });
    const onOther = new Site(later.before);
    const last = commitOf(later.objects);
    // Without the one before it.
    const parentKey = keyOfCommit(last.key.split("/")[1] as never, later.lsn - 1);
    await later.before.delete([parentKey]);
    const early = await onOther.put(last.key, last.bytes);
    expect([early.status, early.json.code]).toEqual([409, "conflict"]);
  });

  it("of a volume that does not exist: 404", async () => {
    const { objects } = await refusedPush();
    const { key, bytes } = commitOf(objects);
    const empty = new Site((await world({ bytes: 0, commits: 0 })).remote);
    expect((await empty.put(key, bytes)).status).toBe(404);
    expect((await empty.push(key.split("/")[1]!, objects)).status).toBe(404);
  });
});

describe("segments", () => {
  it("every byte of a segment is proved before it is stored", async () => {
    const { site, objects } = await refusedPush({}, large);
    const segment = objects.find(({ key }) => key.includes("/segments/"))!;
    const { length } = segment.bytes;
    const places = [
      0,
      1000,
      Math.floor(length / 2),
      length - 5000,
      length - 65,
      length - 64,
      length - 30,
      length - 1,
    ];
    for (const at of places) {
      expect((await site.put(segment.key, flipped(segment.bytes, at))).status, `byte ${at}`).toBe(422);
    }
    expect((await site.put(segment.key, segment.bytes.subarray(0, length - 1))).status).toBe(422);
    expect((await site.put(segment.key, segment.bytes.subarray(1))).status).toBe(422);
    expect((await site.put(segment.key, new Uint8Array(10))).status).toBe(422);
    const renamed = segment.key.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
    expect((await site.put(renamed, segment.bytes)).status).toBe(422);
    expect(await site.store.get(segment.key)).toBeUndefined();
    expect((await site.put(segment.key, segment.bytes)).status).toBe(201);
    expect((await site.put(segment.key, segment.bytes)).status).toBe(412);
  });

  it("a commit needs its segments, and they must be the ones it names, whoever stored them", async () => {
    const { site, id, objects, before } = await refusedPush({}, large);
    const commit = commitOf(objects);
    const segment = objects.find(({ key }) => key.includes("/segments/"))!;
    expect((await site.put(commit.key, commit.bytes)).json.detail).toContain("send it first");
    // Stored behind the server's back, with a frame that is damaged.
    await before.put(segment.key, flipped(segment.bytes, 1000));
    expect((await site.put(commit.key, commit.bytes)).status).toBe(422);
    await before.put(segment.key, segment.bytes.subarray(0, 1000));
    expect((await site.put(commit.key, commit.bytes)).status).toBe(422);
    await before.put(segment.key, segment.bytes);
    expect((await site.put(commit.key, commit.bytes)).status).toBe(201);
    expect((await new Site(before).get(`/v1/volumes/${id}`)).json.lsn).toBe(5);
  });

  it("whoever gave up takes an unnamed segment back; a named one stays, whoever asks", async () => {
    const { before, objects } = await refusedPush({}, large);
    const writer = new Site(before, {
      authenticate: async () => ({ name: "w", may: (right) => right !== "admin" }),
    });
    const segment = objects.find(({ key }) => key.includes("/segments/"))!;
    const commit = commitOf(objects);
    await writer.put(segment.key, segment.bytes);
    expect((await writer.call("DELETE", `/${segment.key}`)).status).toBe(204);
    expect(await before.get(segment.key)).toBeUndefined();
    await writer.put(segment.key, segment.bytes);
    await writer.put(commit.key, commit.bytes);
    expect((await writer.call("DELETE", `/${segment.key}`)).status).toBe(403);
    expect((await writer.call("DELETE", `/${commit.key}`)).status).toBe(403);
    expect(await before.get(segment.key)).toBeDefined();
    expect((await new Site(before).call("DELETE", `/${segment.key}`)).status).toBe(409);
  });
});
