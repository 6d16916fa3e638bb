/**
 * Real processes that compact and collect a volume while another pushes and one reads, killed by SIGKILL at random moments and at each named step: what
 * the retention keeps can be read and verified afterwards, and whoever comes next goes on.
 */
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { VolumeId } from "../../src/base/brand.ts";
import { loadCodecs } from "../../src/format/codecs.ts";
import { decodeFloor } from "../../src/format/floor-codec.ts";
import { floorKey } from "../../src/format/keys.ts";
import type { Floor } from "../../src/format/model.ts";
import { COLLECT_STEPS } from "../../src/history/collect/collect.ts";
import { COMPACTION_POINTS } from "../../src/history/compact/compaction-options.ts";
import { FsObjectStore } from "../../src/node/fs-object-store.ts";
import { openStore } from "../../src/node/open-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { wantsMore } from "../more.ts";
import { type Child, removeTemporary, start, temporary } from "../node/block-child.ts";
import { killAfter, packageEntry, said, script } from "./kill/children.ts";
import { Content, numberIn, OWNER_PAGE, PAGE_BYTES, TAG } from "./kill/content.ts";

let upkeepChild: string;
let commitChild: string;
let readerChild: string;

beforeAll(async () => {
  upkeepChild = await script("upkeep-child.ts");
  commitChild = await script("commit-child.ts");
  readerChild = await script("reader-child.ts");
}, 60_000);
afterAll(removeTemporary);

/** A volume of which little is kept, and LSN 2. */
async function emptyVolume(store: string): Promise<VolumeId> {
  const pages = await openStore(store, { workers: 0, create: true });
  const volume = await pages.createVolume({ tag: TAG, pageSize: PAGE_BYTES });
  await volume.setRetention({ all: 500, keep: [2] });
  await pages.close();
  return volume.id;
}

async function floorOf(store: string, volume: VolumeId): Promise<Floor | undefined> {
  const { hash } = await loadCodecs();
  const objects = await FsObjectStore.open(store);
  try {
    let newest: Floor | undefined;
    // Superseded floors are kept for months.
    for (let n = 1; ; n++) {
      const bytes = await objects.get(floorKey(volume, n));
      if (bytes === undefined) return newest;
      newest = decodeFloor(bytes, hash, { volume, n });
    }
  } finally {
    await objects.close();
  }
}

/** Reads a state whole; answers its number. Fails unless every byte is that state's. */
async function numberAt(volume: Volume, lsn: number, content: Content): Promise<number> {
  const snapshot = await volume.at(lsn);
  const bytes = await snapshot.read(0, snapshot.byteLength);
  snapshot.close();
  const n = numberIn(bytes);
  const expected = content.at(n).slice();
  const owner = (OWNER_PAGE - 1) * PAGE_BYTES;
  expected.set(bytes.subarray(owner, owner + PAGE_BYTES), owner);
  expect(Buffer.compare(bytes, expected), `invariant 9: LSN ${lsn}, number ${n}, whole`).toBe(0);
  return n;
}

/** Everything that the newest floor keeps, as a stranger reads it. Answers the numbers by LSN. */
async function checkKept(store: string, id: VolumeId): Promise<Map<number, number>> {
  const floor = await floorOf(store, id);
  const pages = await openStore(store, { workers: 0 });
  const numbers = new Map<number, number>();
  const content = new Content();
  try {
    const volume = await pages.volume(TAG);
    const { lsn: head } = volume.status();
    const kept: number[] = (floor?.checkpoints ?? []).map(({ lsn }) => lsn).filter((lsn) => lsn < floor!.lsn);
    for (let lsn: number = Math.max(1, floor?.lsn ?? 1); lsn <= head; lsn++) kept.push(lsn);
    for (const lsn of kept) numbers.set(lsn, await numberAt(volume, lsn, content));
    if (head > 0) await volume.verify();
  } finally {
    await pages.close();
  }
  return numbers;
}

/** Runs a child that ends itself at a step; answers what it said, or undefined where it did not get there in time. */
async function killedAt(step: string, times: number, store: string): Promise<string[] | undefined> {
  const child = start(upkeepChild, packageEntry, store, step, `${times}`);
  await child.printed("open");
  const late = setTimeout(() => child.process.kill("SIGTERM"), 60_000);
  const ended = await child.ended;
  clearTimeout(late);
  if (ended === "SIGTERM") return undefined;
  expect(ended, child.output()).toBe("SIGKILL");
  return child.output().split("\n");
}

/** The child goes on beside what is tested, and must not have ended by itself. */
async function stop(child: Child): Promise<string[]> {
  child.process.kill("SIGKILL");
  expect(await child.ended, child.output()).toBe("SIGKILL");
  return child.output().split("\n").slice(0, -1);
}

const steps = [...COMPACTION_POINTS, ...COLLECT_STEPS];
/** By default some of them, others each time the seed differs. */
const chosen = wantsMore ? steps : steps.filter((_, i) => (i + testSeed) % 5 === 0);

describe("invariants 1, 9 and 11 under kill -9", () => {
  it("a process that compacts and collects while another pushes and one reads", async () => {
    const store = path.join(temporary(), "store");
    const id = await emptyVolume(store);
    const random = seededRandom(testSeed + 40);
    const writer = start(commitChild, packageEntry, store, temporary(), "writer", "alone");
    const reader = start(readerChild, packageEntry, store);
    await writer.printed("pushed ");
    let inStep = 0;
    const rounds = wantsMore ? 12 : 3;
    for (let round = 0; round < rounds; round++) {
      const lines = await killAfter(random() * 900, "open", upkeepChild, packageEntry, store, "never", "0");
      if (lines.at(-1)?.startsWith("step ")) inStep++;
    }
    const reached: string[] = [];
    for (const step of chosen) {
      const lines = await killedAt(step, Math.floor(random() * 2), store);
      if (lines !== undefined) reached.push(step);
    }
    // One that is left alone for as long as the floor needs to rise, should none of those before have come so far.
    const floorRose = async () => ((await floorOf(store, id))?.lsn ?? 0) > 2;
    if (!(await floorRose())) {
      const last = start(upkeepChild, packageEntry, store, "never", "0");
      await vi.waitUntil(floorRose, { timeout: 120_000, interval: 50 });
      await stop(last);
    }
    await reader.printed("read ");
    const pushed = said(await stop(writer), "pushed");
    const read = said(await stop(reader), "read");
    const numbers = await checkKept(store, id);
    for (const [n, lsn] of pushed) {
      const found = numbers.get(lsn!);
      if (found !== undefined) expect(found, `invariant 3: LSN ${lsn} was acknowledged`).toBe(n);
    }
    expect(numbers.get(2), "LSN 2, which the policy keeps").toBe(pushed[1]![0]);
    const floor = await floorOf(store, id);
    expect(floor?.lsn, "the floor rose").toBeGreaterThan(2);
    expect(read.length, "the reader read").toBeGreaterThan(0);
    console.log(
      `${rounds + reached.length} kills, ${inStep} of ${rounds} at random within a step, at ${reached.join(", ")}; floor ${floor?.n} at LSN ${floor?.lsn} of ` +
        `${pushed.length}, ${read.length} whole reads`,
    );
    expect(reached.length).toBeGreaterThan(chosen.length / 2);
  }, 300_000);
});
