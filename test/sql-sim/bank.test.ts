/**
 * A bank on several replicas that transfer, push, pull, reset, fork and make again, one after the other and all at once, in good weather and
 * bad: invariants 1 to 6 as an application sees them. PAGEFOLD_TEST_SEED chooses the run, PAGEFOLD_TEST_STEPS its length.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { wantsMore } from "../more.ts";
import { removeTemporary } from "../node/block-child.ts";
import { bundleWorker } from "../vfs/bundle.ts";
import { checkBank, pageHashes } from "./bank.ts";
import { type Lane, type LaneOptions, openLane, TAG } from "./lanes.ts";
import { runSteps } from "./steps.ts";
import type { Teller } from "./teller.ts";
import { transfers } from "./transaction-steps.ts";

const STEPS = Number(process.env.PAGEFOLD_TEST_STEPS ?? (wantsMore ? 24 : 16));
let workerUrl: URL;

beforeAll(async () => {
  workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
});
afterAll(removeTemporary);

interface Run extends Omit<LaneOptions, "workerUrl"> {
  readonly order: "one after the other" | "at once";
}

async function run({ order, ...options }: Run): Promise<void> {
  const lane = await openLane({ ...options, workerUrl });
  try {
    const stormy = options.outages > 0;
    if (order === "at once") {
      await Promise.all(lane.tellers.map((teller) => runSteps(teller, STEPS, stormy)));
    } else {
      const random = seededRandom(options.seed);
      for (let i = 0; i < STEPS * options.tellers; i++)
        await runSteps(lane.tellers[Math.floor(random() * options.tellers)]!, 1, stormy);
    }
    await lane.calm();
    await finish(lane);
  } catch (error) {
    throw new Error(`seed ${options.seed}: ${String(error)}`, { cause: error });
  } finally {
    await lane.close();
  }
}

/** Everybody pushes what is left and ends at the same state, which is the stranger's; the log is what was acknowledged. */
async function finish({ seed, tellers, pushes, stranger }: Lane): Promise<void> {
  for (const teller of tellers) {
    await teller.checkViews();
    await pushAll(teller);
  }
  const clone = await stranger(TAG);
  try {
    const ids = await checkBank(clone, "a clone");
    const newest = await clone.at((await clone.status()).lsn);
    const hashes = await pageHashes(newest);
    for (const teller of tellers) {
      await teller.database.pull();
      await teller.hydrateWhereNeeded();
      expect(await checkBank(teller.database, teller.parts.name)).toEqual(ids);
      expect(await teller.newestHashes(), `invariant 6: replica ${teller.parts.name}`).toEqual(hashes);
    }
    await pushes.check(clone);
    await clone.verify();
    const counts = tellers.map(({ parts, counts }) => `${parts.name}: ${JSON.stringify([...counts])}`);
    console.log(
      `seed ${seed}: ${ids.length} transfers, ${pushes.acknowledged} pushes acknowledged, ${pushes.settled} settled later\n${counts.join("\n")}`,
    );
  } finally {
    await clone.close();
  }
  for (const teller of tellers) await finishForks(teller, stranger);
}

async function pushAll(teller: Teller): Promise<void> {
  await teller.hydrateWhereNeeded();
  await teller.insistOnPush();
  expect(await teller.database.status()).toMatchObject({ ahead: 0, pendingPush: false });
  await teller.check();
}

/** What was moved to a fork is there, and can be pushed there. */
async function finishForks({ database, forks, parts }: Teller, stranger: Lane["stranger"]): Promise<void> {
  for (const { tag, ids } of parts.resident ? [] : forks) {
    await database.exec(`PRAGMA pagefold_switch = '${tag}'`);
    await database.push();
    const clone = await stranger(tag);
    try {
      expect((await checkBank(clone, tag)).slice(ids.length === 0 ? Infinity : -ids.length)).toEqual(ids);
    } finally {
      await clone.close();
    }
  }
}

/** Everybody stands on the same commit, has one of their own, and pushes it at the same moment. */
async function race({ tellers }: Lane): Promise<void> {
  for (const { database } of tellers) await database.pull();
  await Promise.all(tellers.map((teller) => oneTransfer(teller)));
  const { lsn } = await tellers[0]!.database.status();
  const pushed = await Promise.allSettled(tellers.map(({ database }) => database.push()));
  const winners = pushed.filter(({ status }) => status === "fulfilled");
  expect(winners, "invariant 5: exactly one wins").toMatchObject([
    { value: { outcome: "pushed", lsn: lsn + 1, commits: 1, ahead: 0 } },
  ]);
  for (const [i, result] of pushed.entries()) {
    const teller = tellers[i]!;
    if (result.status === "fulfilled") {
      await teller.reconcile({ how: "pushed", count: 1, lsn: lsn + 1 });
      continue;
    }
    expect(result.reason).toMatchObject({ code: "diverged", details: { lsn: lsn + 1 } });
    expect(await teller.database.status()).toMatchObject({
      state: "diverged",
      lsn,
      remoteLsn: lsn + 1,
      ahead: 1,
    });
    // The loser has what it had.
    await teller.check();
    const { dropped } = await teller.database.reset();
    await teller.reconcile({ how: "dropped", count: dropped });
  }
}

async function oneTransfer(teller: Teller): Promise<void> {
  while (teller.local.length === 0) await transfers(teller, "immediate");
}

describe("the bank", { timeout: 240_000 }, () => {
  it("one after the other, in workers, over a memory store", () =>
    run({
      seed: testSeed,
      tellers: 3,
      store: "memory",
      thread: "worker",
      order: "one after the other",
      delayMs: 0,
      outages: 0,
    }));

  it("at once, in workers, over a slow memory store that fails", () =>
    run({
      seed: testSeed + 1,
      tellers: 4,
      store: "memory",
      thread: "worker",
      order: "at once",
      delayMs: 8,
      outages: 0.02,
    }));

  it("at once, in workers, over a file system store", () =>
    run({
      seed: testSeed + 2,
      tellers: 3,
      store: "files",
      thread: "worker",
      order: "at once",
      delayMs: 0,
      outages: 0,
    }));

  it("at once, on this thread, over a slow memory store that fails", () =>
    run({
      seed: testSeed + 3,
      tellers: 4,
      store: "memory",
      thread: "caller",
      order: "at once",
      delayMs: 30,
      outages: 0.02,
    }));

  it("invariant 5: of racing pushers exactly one wins", async () => {
    const options = {
      seed: testSeed,
      tellers: 4,
      store: "memory",
      thread: "worker",
      delayMs: 6,
      outages: 0,
    } as const;
    const lane = await openLane({ ...options, workerUrl });
    try {
      for (let round = 0; round < 6; round++) await race(lane);
      await finish(lane);
    } finally {
      await lane.close();
    }
  });
});
