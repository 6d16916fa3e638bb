/** Promoting and rebasing against what they must come to, page by page, over random changes of both sides. */
import { describe, expect, it } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { wantsMore } from "../more.ts";
import { expectSame, openStore, randomBytes, testSeed } from "../store/support.ts";

const PAGE = 512;
const PAGES = 24;
const RUNS = wantsMore ? 300 : 24;

/** Pages that were touched, and whether the length was. */
interface Touched {
  readonly pages: Set<number>;
  length: boolean;
}

/** A few random commits, among pages that leave the other side some. */
async function change(volume: Volume, random: () => number, touched: Touched): Promise<void> {
  const pick = (n: number) => Math.floor(random() * n);
  for (let commits = pick(4); commits > 0; commits--) {
    for (let steps = 1 + pick(3); steps > 0; steps--) {
      using snapshot = volume.snapshot();
      const { byteLength } = snapshot;
      const kind = pick(12);
      if (kind === 0) {
        const length = pick(PAGES + 6) * PAGE + pick(2) * 100;
        for (
          let page = Math.floor(Math.min(length, byteLength) / PAGE);
          page * PAGE < Math.max(length, byteLength);
          page++
        )
          touched.pages.add(page);
        touched.length ||= length !== byteLength;
        await volume.truncate(length);
        continue;
      }
      const first = pick(PAGES);
      const count = 1 + pick(2);
      const bytes =
        kind === 1 ? new Uint8Array(count * PAGE) : randomBytes(count * PAGE, Math.floor(random() * 1e9));
      if ((first + count) * PAGE > byteLength) {
        touched.length = true;
        for (let page = Math.floor(byteLength / PAGE); page < first + count; page++) touched.pages.add(page);
      }
      for (let page = first; page < first + count; page++) touched.pages.add(page);
      await volume.write(first * PAGE, bytes);
    }
    await volume.push();
  }
}

/** What the fork changed, laid over what the parent has now. */
function merged(base: Uint8Array, fork: Uint8Array, parent: Uint8Array): Uint8Array {
  const length = fork.length === base.length ? parent.length : fork.length;
  const result = new Uint8Array(length);
  const page = (bytes: Uint8Array, at: number) => {
    const whole = new Uint8Array(PAGE);
    whole.set(bytes.subarray(at, at + PAGE));
    return whole;
  };
  for (let at = 0; at < length; at += PAGE) {
    const [was, ours, theirs] = [page(base, at), page(fork, at), page(parent, at)];
    const isOurs = ours.some((byte, i) => byte !== was[i]);
    result.set((isOurs ? ours : theirs).subarray(0, length - at), at);
  }
  return result;
}

describe("a fork and its parent, both changed at random", () => {
  it("come together to what they must, or both touched something", async () => {
    let went = 0;
    let refused = 0;
    for (let run = 0; run < RUNS; run++) {
      const seed = testSeed + 31 * run;
      const random = seededRandom(seed);
      const objects = new MemoryObjectStore();
      const store = await openStore(objects);
      const parent = await store.createVolume({ pageSize: PAGE, tag: "main" });
      await parent.write(0, randomBytes(PAGES * PAGE, seed));
      await parent.push();
      const fork = await store.fork("main", { tag: "topic" });
      const content = (volume: Volume) => volume.read(0, 1e9);
      const base = await content(fork);
      const ours: Touched = { pages: new Set(), length: false };
      const theirs: Touched = { pages: new Set(), length: false };
      await change(fork, random, ours);
      await change(parent, random, theirs);
      const expected = merged(base, await content(fork), await content(parent));
      const verb = run % 2 === 0 ? "promote" : "rebase";
      try {
        const { lsn } = await (verb === "promote" ? store.promote("topic") : store.rebase("topic"));
        const reader = await (await openStore(objects)).volume(verb === "promote" ? "main" : "topic");
        expect(reader.status().lsn).toBe(lsn);
        expectSame(await content(reader), expected, `seed ${seed}: ${verb}`);
        await reader.verify({ deep: true });
        went++;
      } catch (error) {
        if (!isPagefoldError(error, "conflict")) throw error;
        const both = [...ours.pages].some((page) => theirs.pages.has(page));
        expect(both || (ours.length && theirs.length), `seed ${seed}: ${error.message}`).toBe(true);
        refused++;
      }
      await store.close();
    }
    expect(went).toBeGreaterThan(3);
    expect(refused).toBeGreaterThan(1);
  });
});
