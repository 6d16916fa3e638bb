/** Near the oldest commit that is left, a commit has fewer bands than its LSN could carry: that costs smaller steps, and changes no result. */
import { describe, expect, it } from "vitest";
import type { Lsn, PageCount } from "../../src/base/brand.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { trailingPowers } from "../../src/format/jumps.ts";
import { commitKey, manifestKey } from "../../src/format/keys.ts";
import { SHORT_BANDS } from "../../src/format/limits.ts";
import { decodeManifest } from "../../src/format/manifest-codec.ts";
import type { Rollup } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { buildBands } from "../../src/replicate/bands.ts";
import { CommitDirectory } from "../../src/volume/commit-directory.ts";
import { codecs, expectSame, openStore, WatchedStore } from "../store/support.ts";
import { LogBuilder } from "./log-builder.ts";

describe("building bands where older commits were collected", async () => {
  const objects = new MemoryObjectStore();
  const builder = await LogBuilder.create({ store: objects });
  await builder.grow(63, 40);
  const manifest = decodeManifest((await objects.get(manifestKey(builder.volume)))!);
  const parent = { lsn: builder.state.lsn, hash: builder.state.hash! };
  const own: Rollup = {
    from: 63 as Lsn,
    to: 64 as Lsn,
    lowestPageCount: 40 as PageCount,
    writers: [{ lsn: 64 as Lsn, hash: undefined, pages: PageSet.of([3]) }],
  };
  const build = async (collected: number, notBelow?: number) => {
    const watched = new WatchedStore(objects.clone());
    const keys = Array.from({ length: collected }, (_, i) => commitKey(builder.volume, (i + 1) as Lsn));
    await watched.store.delete(keys);
    const directory = new CommitDirectory(manifest);
    return watched.cost(() =>
      buildBands(
        { store: watched.store, directory, codecs, parent, notBelow: notBelow as Lsn | undefined },
        own,
      ),
    );
  };

  it("they are the first ones of those there would be, as far as the log goes", async () => {
    const { value: all } = await build(0);
    expect(all.refs.length).toBe(6);
    // The way down from 63 is 62, 60, 56, 48, 32, each of them with all its bands.
    for (const [collected, count] of [
      [31, 6],
      [32, 5],
      [47, 5],
      [48, 4],
      [61, 2],
      [62, 1],
      [63, 0],
    ] as const) {
      const { value, requests } = await build(collected);
      expect([collected, value.refs]).toEqual([collected, all.refs.slice(0, count)]);
      expect(value.jumpHashes).toEqual(all.jumpHashes.slice(0, count + 1));
      expect(requests.length).toBeLessThan(14);
    }
    for (const [notBelow, count, most] of [
      [32, 5, 5],
      [33, 4, 4],
      [63, 0, 0],
    ] as const) {
      const { value, requests } = await build(notBelow - 1, notBelow);
      expect(value.refs).toEqual(all.refs.slice(0, count));
      expect(requests.length).toBeLessThanOrEqual(most);
    }
  });
});

describe("a log in which many commits have fewer bands", async () => {
  const objects = new MemoryObjectStore();
  const bandsFrom = (lsn: number) => (lsn % 3 === 0 || lsn === 64 ? lsn - 2 : lsn % 5 === 0 ? lsn - 1 : 0);
  const builder = await LogBuilder.create({ store: objects, bandsFrom, rideAlongBytes: 400 });
  const states: { time: number; content: Uint8Array }[] = [];
  for (let i = 0; i < 100; i++) {
    builder.runtime.advance(1000);
    await builder.grow(1, 60);
    states.push({ time: builder.state.time, content: builder.content() });
  }

  it("says so in its headers", async () => {
    let short = 0;
    for (let lsn = 1; lsn <= 100; lsn++) {
      const { header } = decodeCommit(
        (await objects.get(commitKey(builder.volume, lsn as Lsn)))!,
        codecs.hash,
      );
      const isShort = header.bands.length < trailingPowers(lsn);
      expect(header.features.incompatible).toBe(isShort ? SHORT_BANDS : 0);
      expect(header.jumpHashes.length).toBe(header.bands.length + 1);
      if (isShort) short++;
    }
    expect(short).toBeGreaterThan(15);
  });

  it("is opened, read at any LSN and searched by time as any other", async () => {
    const pages = await openStore(objects.clone());
    const volume = await pages.volume(builder.volume);
    expect(volume.status().lsn).toBe(100);
    expect(volume.stateChecksum).toBe(builder.stateChecksum);
    expectSame(await volume.read(0, 1e9), builder.content(), "the content");
    for (const [i, { time, content }] of states.entries()) {
      const snapshot = await volume.at(i + 1);
      expectSame(await snapshot.read(0, 1e9), content, `the content at LSN ${i + 1}`);
      snapshot.close();
      const then = await volume.at(new Date(time + 1));
      expect(then.lsn).toBe(i + 1);
      then.close();
    }
    await expect(volume.at(new Date(states[0]!.time - 1))).rejects.toMatchObject({ code: "not_found" });
    await pages.close();
  });

  it("is caught up with", async () => {
    const growing = new MemoryObjectStore();
    const live = await LogBuilder.create({ store: growing, bandsFrom });
    const reader = await openStore(growing);
    const volume = await reader.volume(live.volume);
    for (const more of [1, 2, 5, 8, 16, 31, 20]) {
      await live.grow(more, 60);
      expect((await volume.pull()).to).toBe(live.state.lsn);
      expectSame(await volume.read(0, 1e9), live.content(), `at LSN ${live.state.lsn}`);
    }
    await reader.close();
  });
});
