/** Restores through a server: they work as without one, and a commit that lies about what it takes back is refused. */
import { describe, expect, it } from "vitest";
import type { Lsn, PageIdx, StateChecksum } from "../../src/base/brand.ts";
import { StateChecksumSum } from "../../src/format/checksum.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { DIGEST_BYTES } from "../../src/format/hash.ts";
import { commitKey, forkKey, manifestKey, restorePinKey } from "../../src/format/keys.ts";
import { RESTORED } from "../../src/format/limits.ts";
import { decodeManifest } from "../../src/format/manifest-codec.ts";
import type { CommitHeader, PageWriter } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { content, expectPast, grow, keysOf, PAGE } from "../store/fork-support.ts";
import { expectSame } from "../store/support.ts";
import { OTHER_HASH, withHeader } from "./forged.ts";
import { codecs, openStore, randomBytes, Site } from "./support.ts";

describe("a restore through a server", () => {
  it("is what it is without one, in forks, too; others hear how many pages it changed", async () => {
    const objects = new MemoryObjectStore();
    const site = new Site(objects);
    const store = await openStore(site.client());
    const volume = await store.createVolume({ pageSize: PAGE, tag: "parent" });
    const states = await grow(volume, 7);
    const result = await volume.restore({ at: 3 });
    expect(result).toMatchObject({ lsn: 8, from: 3, restored: true });
    states.push(states[3]!);
    expect(await keysOf(objects)).toContain(restorePinKey(volume.id, 8 as Lsn, 3 as Lsn));
    await expectPast(await (await openStore(objects)).volume("parent"), states);
    await expectPast(await (await openStore(site.client())).volume("parent"), states);
    const fork = await store.fork("parent", { tag: "fork" });
    states.push(...(await grow(fork, 2, 3)).slice(1));
    expect(await fork.restore({ at: 5 })).toMatchObject({ lsn: 11, restored: true });
    states.push(states[5]!);
    expect(await keysOf(objects)).toContain(forkKey(volume.id, fork.id, 5 as Lsn));
    await expectPast(await (await openStore(site.client())).volume("fork"), states);
    expect(await fork.restore({ at: 0 })).toMatchObject({ lsn: 12, restored: true });
    await expectPast(await (await openStore(objects)).volume("fork"), [...states, new Uint8Array(0)]);
  });

  it("stays right for readers that come from anywhere before it", async () => {
    const objects = new MemoryObjectStore();
    const site = new Site(objects);
    const writer = await (await openStore(site.client())).createVolume({ pageSize: PAGE, tag: "v" });
    const readers: Volume[] = [];
    for (let i = 0; i < 4; i++) {
      readers.push(await (await openStore(site.client())).volume("v"));
      await grow(writer, 3, i);
      await writer.restore({ at: 2 * i + 1 });
    }
    for (const reader of readers) {
      await reader.pull();
      expectSame(await content(reader), await content(writer));
      expect(reader.stateChecksum).toBe(writer.stateChecksum);
    }
  });
});

describe("a commit that lies about what it takes back", async () => {
  // LSN 5 has no bands that would have to be forged, too.
  const objects = new MemoryObjectStore();
  const parent = await (await openStore(objects)).createVolume({ pageSize: PAGE, tag: "parent" });
  const states = [await content(parent)];
  const commit = async (...pages: number[]) => {
    await parent.truncate(8 * PAGE);
    for (const page of pages) await parent.write((page - 1) * PAGE, randomBytes(PAGE, states.length + page));
    await parent.push();
    states.push(await content(parent));
  };
  await commit(1, 2);
  await commit(7, 8);
  await commit(1, 3, 4, 7);
  await commit(2);
  const unpinned = objects.clone();
  const before = objects.clone();
  await before.put(restorePinKey(parent.id, 5 as Lsn, 2 as Lsn), new Uint8Array(0));
  await parent.restore({ at: 2 });
  const key = commitKey(parent.id, 5 as Lsn);
  const real = (await objects.get(key))!;
  const { header } = decodeCommit(real, codecs.hash);
  const first = header.restored[0]!;
  const send = (change: (header: CommitHeader) => Partial<CommitHeader>) =>
    new Site(before.clone()).put(key, withHeader(real, change));
  const instead = (writer: Partial<PageWriter>) => ({
    restored: [{ ...first, ...writer }, ...header.restored.slice(1)],
  });

  it("is compared with one that does not", async () => {
    expect(header.restored.map(({ lsn, pages }) => [lsn, ...pages])).toEqual([
      [2, 7],
      [1, 1, 2],
    ]);
    expect([...header.zeroed]).toEqual([3, 4]);
    expect((await send(() => ({}))).status).toBe(201);
    expect((await new Site(unpinned).put(key, real)).json.detail).toMatch(/its pin .* is not there/);
    // A writer whose hash the sender did not know is believed: the log says which commit it is.
    expect((await send(() => instead({ hash: undefined }))).status).toBe(201);
  });

  it.each<[string, (header: CommitHeader) => Partial<CommitHeader>, RegExp]>([
    [
      "a page of another writer",
      () => ({ restored: [{ ...first, lsn: 1 as Lsn, hash: undefined }] }),
      /was not commit 1's/,
    ],
    ["a page beyond what the writer wrote", () => instead({ pages: PageSet.of([6]) }), /was not commit 2's/],
    ["another commit of that LSN", () => instead({ hash: OTHER_HASH }), /another commit 2/],
    ["another LSN restored", () => ({ restoredFrom: 3 as Lsn }), /its pin .* is not there/],
    ["a page left out", () => ({ restored: header.restored.slice(1) }), /state checksum/],
    ["a page not zeroed", () => ({ zeroed: header.zeroed.slice(1, header.zeroed.size) }), /state checksum/],
    ["another state checksum", () => ({ stateChecksum: 1n as StateChecksum }), /state checksum/],
  ])("%s: refused", async (_, change, expected) => {
    const answer = await send(change);
    expect([answer.status, answer.json.detail]).toEqual([422, expect.stringMatching(expected)]);
  });

  it("with pages of its own besides: its checksum is worked out from the digests", async () => {
    const store = before.clone();
    const volume = await (await openStore(store)).volume("parent");
    await volume.write(0, randomBytes(PAGE, 5));
    await volume.push();
    const own = (await store.get(key))!;
    const { digestSeed } = decodeManifest((await store.get(manifestKey(parent.id)))!);
    const digester = codecs.hash.pageDigests(digestSeed);
    const digestOf = (page: number, state: Uint8Array): StateChecksumSum => {
      const digest = new Uint8Array(DIGEST_BYTES);
      const bytes = new Uint8Array(PAGE);
      bytes.set(state.subarray((page - 1) * PAGE, page * PAGE));
      digester.digestInto(page as PageIdx, bytes, digest, 0);
      return new StateChecksumSum().add(digest);
    };
    const page = 2;
    const writer = header.restored[1]!;
    const forged = (sum: (checksum: StateChecksumSum) => StateChecksumSum) =>
      withHeader(own, ({ stateChecksum, features }) => ({
        features: { ...features, incompatible: RESTORED },
        restoredFrom: 2 as Lsn,
        restored: [{ ...writer, pages: PageSet.of([page]) }],
        stateChecksum: sum(StateChecksumSum.from(stateChecksum)).value(),
      }));
    const old = digestOf(page, states[2]!).value();
    const gone = digestOf(page, states[4]!).value();
    const right = forged((sum) => sum.addValue(old).addValue((2n ** 128n - gone) as StateChecksum));
    expect(
      (
        await new Site(before.clone()).put(
          key,
          forged((sum) => sum),
        )
      ).status,
    ).toBe(422);
    const taken = before.clone();
    expect((await new Site(taken).put(key, right)).status).toBe(201);
    const reader = await (await openStore(taken)).volume("parent");
    expect((await reader.verify()).lsn).toBe(5);
    expectSame(
      await reader.read((page - 1) * PAGE, PAGE),
      states[2]!.subarray((page - 1) * PAGE, page * PAGE),
      "the page that went back",
    );
  });
});
