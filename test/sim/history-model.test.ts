/**
 * The whole history of a volume as a state machine: random sequences of pushes, checkpoints, compactions, collections, forks, restores and the clock,
 * cut off and asleep at any point, against the naive model of `history-model.ts`. PAGEFOLD_TEST_RUNS raises the number of sequences,
 * PAGEFOLD_TEST_SEED chooses others.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { loadCodecs } from "../../src/format/codecs.ts";
import { checkpointsPrefix, headKey, parseCheckpointKey, rollupsPrefix } from "../../src/format/keys.ts";
import type { RetentionPolicy } from "../../src/history/keep/retention.ts";
import { testSeed } from "../local/xxh64.ts";
import { wantsMore } from "../more.ts";
import { expectBytes } from "./engine-model.ts";
import {
  cutAt,
  HistoryWorld,
  type Line,
  MINUTE,
  orCutOff,
  PAGE,
  type ReplicaOfHistory,
} from "./history-model.ts";

const codecs = await loadCodecs();
const RUNS = Number(process.env.PAGEFOLD_TEST_RUNS ?? (wantsMore ? 150 : 12));
const REPLICAS_MOST = 3;
const FORKS_MOST = 3;
const PAGES = 14;

type Step = fc.AsyncCommand<HistoryWorld, object>;

class Do implements Step {
  readonly #name: string;
  readonly #run: (world: HistoryWorld) => Promise<void>;

  constructor(name: string, run: (world: HistoryWorld) => Promise<void>) {
    this.#name = name;
    this.#run = run;
  }

  check(): boolean {
    return true;
  }

  async run(world: HistoryWorld): Promise<void> {
    await this.#run(world);
    await world.check();
  }

  toString(): string {
    return this.#name;
  }
}

const who = fc.nat(11);
const share = fc.integer({ min: 0, max: 1000 }).map((n) => n / 1000);
const pages = fc.uniqueArray(fc.nat(PAGES - 1), { minLength: 1, maxLength: 5 });
/** Where something is cut off: most often nowhere. */
const point = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 14 }));

const policies: readonly RetentionPolicy[] = [
  {},
  { all: 0 },
  { all: "2h" },
  { all: "2h", hourly: "12h" },
  { all: 0, daily: "3d", keep: [2, 5] },
  { all: "30m", hourly: "4h", keep: [3] },
];

/** A kept LSN of a replica's volume, of those that it has seen. */
async function keptOf(
  world: HistoryWorld,
  { volume, of }: ReplicaOfHistory,
  at: number,
): Promise<number | undefined> {
  const base = volume.status().lsn;
  const kept = (await world.kept(of)).filter((lsn) => lsn <= base);
  return kept[Math.floor(at * 0.999 * kept.length)];
}

const commit = fc
  .tuple(who, pages, fc.option(fc.integer({ min: 1, max: PAGES }), { freq: 6, nil: undefined }))
  .map(
    ([n, changed, cut]) =>
      new Do(`commit(${n}, [${changed}], ${cut})`, (world) =>
        world.commit(world.replica(n), changed, cut === undefined ? undefined : cut * PAGE),
      ),
  );

/** A writer who may have slept: on what it stands on, without looking. */
const stalePush = fc.tuple(who, pages).map(
  ([n, changed]) =>
    new Do(`stalePush(${n}, [${changed}])`, async (world) => {
      const { volume, of } = world.replica(n);
      const { lsn } = volume.status();
      const content = await world.change(volume, of.states[lsn]!, changed);
      const isNews = volume.status().ahead > 0;
      try {
        const pushed = await volume.push();
        if (!isNews) return;
        expect(pushed.lsn, "invariant 9: a push on an old commit is not acknowledged").toBe(of.states.length);
        expect(lsn).toBe(of.states.length - 1);
        of.states.push(content);
      } catch (error) {
        if (!isPagefoldError(error, "diverged")) throw error;
        expect(lsn, "invariant 5: diverged from something").toBeLessThan(of.states.length - 1);
        await volume.reset();
        await volume.pull();
      }
      await world.settle();
    }),
);

const pull = who.map(
  (n) =>
    new Do(`pull(${n})`, async (world) => {
      const { volume, of } = world.replica(n);
      await volume.pull();
      const newest = of.states.length - 1;
      expect(volume.status().lsn).toBe(newest);
      expectBytes(await volume.read(0, 1e9), of.states[newest]!, "after a pull");
    }),
);

const pass = fc
  .constantFrom(5, 20, 59, 61, 150, 24 * 60)
  .map((minutes) => new Do(`pass(${minutes} min)`, async (world) => world.runtime.advance(minutes * MINUTE)));

const setRetention = fc.tuple(who, fc.constantFrom(...policies)).map(
  ([n, policy]) =>
    new Do(`setRetention(${n}, ${JSON.stringify(policy)})`, async (world) => {
      await world.replica(n).volume.setRetention(policy);
    }),
);

const collect = fc.tuple(who, point, fc.boolean()).map(
  ([n, cut, again]) =>
    new Do(`collect(${n}, cut at ${cut}, again ${again})`, async (world) => {
      const { volume } = world.replica(n);
      const { onStep, wasCut } = cutAt(cut);
      expect(await orCutOff(volume.collect({ lease: false, onStep }))).toBe(wasCut());
      if (again || !wasCut()) {
        await volume.collect({ lease: false });
        const { deleted } = await volume.collect({ lease: false });
        expect(
          Object.values(deleted).every((count) => count === 0),
          `invariant 11: nothing is left to do: ${JSON.stringify(deleted)}`,
        ).toBe(true);
      }
    }),
);

/** Stands still at a point until somebody wakes it, which may be a month later. */
const sleepInCollect = fc.tuple(who, fc.integer({ min: 1, max: 14 })).map(
  ([n, at]) =>
    new Do(`sleepInCollect(${n}, ${at})`, async (world) => {
      if (world.sleepers.length > 1) return;
      const { of } = world.replica(n);
      const { volume } = await world.addReplica(of);
      // It is nobody that other commands act as.
      world.replicas.pop();
      let seen = 0;
      let wake = () => {};
      const sleeping = new Promise<void>((resolve) => {
        wake = resolve;
      });
      let arrived = () => {};
      const there = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      const work = volume.collect({
        lease: false,
        onStep: async () => {
          if (++seen !== at) return;
          arrived();
          await sleeping;
        },
      });
      // Others may have moved the floor too often meanwhile, or taken what it had planned to keep.
      const end = work.catch((error: unknown) => {
        if (!isPagefoldError(error, "conflict", "not_found")) throw error;
      });
      end.catch(() => {});
      await Promise.race([there, end]);
      world.sleepers.push({ wake, end });
    }),
);

const wake = fc.nat(1).map(
  (n) =>
    new Do(`wake(${n})`, async (world) => {
      const [sleeper] = world.sleepers.splice(n, 1);
      sleeper?.wake();
      await sleeper?.end;
    }),
);

const compact = fc.tuple(who, point, fc.boolean(), fc.constantFrom(undefined, 4 * PAGE)).map(
  ([n, cut, all, stepBytes]) =>
    new Do(`compact(${n}, cut at ${cut}, all ${all}, ${stepBytes})`, async (world) => {
      const { volume, of } = world.replica(n);
      await volume.pull();
      if (of.states.length === 1) return;
      const { onStep, wasCut } = cutAt(cut);
      expect(await orCutOff(volume.compact({ all, stepBytes, onStep }))).toBe(wasCut());
      if (wasCut()) await volume.compact({ all });
    }),
);

const restore = fc.tuple(who, share).map(
  ([n, at]) =>
    new Do(`restore(${n}, ${at})`, async (world) => {
      const replica = world.replica(n);
      const { volume, of } = replica;
      await volume.pull();
      const lsn = await keptOf(world, replica, at);
      if (lsn === undefined) return;
      const { restored } = await volume.restore({ at: lsn });
      if (restored) of.states.push(of.states[lsn]!);
      else expectBytes(of.states.at(-1)!, of.states[lsn]!, "nothing to restore");
      expect(volume.status().lsn).toBe(of.states.length - 1);
      await world.settle();
    }),
);

const fork = fc.tuple(who, share).map(
  ([n, at]) =>
    new Do(`fork(${n}, ${at})`, async (world) => {
      const replica = world.replica(n);
      if (world.lines.length > FORKS_MOST) return;
      await replica.volume.pull();
      const lsn = await keptOf(world, replica, at);
      if (lsn === undefined) return;
      const volume = await replica.store.fork(replica.of.id, { lsn });
      const states = replica.of.states.slice(0, lsn + 1);
      const line: Line = { id: volume.id, states, parent: { line: replica.of, lsn } };
      world.lines.push(line);
      world.replicas.push({ store: replica.store, volume, of: line });
      await volume.pull();
      expectBytes(await volume.read(0, 1e9), line.states[lsn]!, "a fork");
    }),
);

const detach = who.map(
  (n) =>
    new Do(`detach(${n})`, async (world) => {
      const { volume, of } = world.replica(n);
      if (of.parent === undefined || of.states.length - 1 <= of.parent.lsn) return;
      await volume.pull();
      await volume.detach();
    }),
);

const takeSnapshot = who.map(
  (n) =>
    new Do(`takeSnapshot(${n})`, async (world) => {
      const replica = world.replica(n);
      const { lsn } = replica.volume.status();
      if (world.snapshots.length > 5 || replica.volume.status().ahead > 0) return;
      world.hold(replica, replica.volume.snapshot(), lsn, await world.isKept(replica.of, lsn));
    }),
);

const takeOld = fc.tuple(who, share).map(
  ([n, at]) =>
    new Do(`takeOld(${n}, ${at})`, async (world) => {
      const replica = world.replica(n);
      const lsn = await keptOf(world, replica, at);
      if (lsn === undefined || world.snapshots.length > 5) return;
      world.hold(replica, await replica.volume.at(lsn), lsn, true);
    }),
);

const closeSnapshot = fc.nat(5).map(
  (n) =>
    new Do(`closeSnapshot(${n})`, async (world) => {
      const [held] = world.snapshots.splice(n, 1);
      held?.snapshot.close();
    }),
);

const diff = fc.tuple(who, share, share).map(
  ([n, a, b]) =>
    new Do(`diff(${n}, ${a}, ${b})`, async (world) => {
      const replica = world.replica(n);
      const from = await keptOf(world, replica, a);
      const to = await keptOf(world, replica, b);
      if (from === undefined || to === undefined) return;
      const result = await replica.volume.diff(from, to);
      const [before, after] = [replica.of.states[from]!, replica.of.states[to]!];
      const differs = [...Array(Math.ceil(after.length / PAGE)).keys()].filter((page) => {
        const [x, y] = [before, after].map((bytes) => bytes.subarray(page * PAGE, (page + 1) * PAGE));
        return y!.some((byte, i) => byte !== (x![i] ?? 0));
      });
      const told = new Set<number>(result.pages);
      for (const page of differs)
        expect(told.has(page + 1), `page ${page + 1} differs between ${from} and ${to}`).toBe(true);
    }),
);

/** Invariant 8: what can be rebuilt is a cache. */
const loseCaches = who.map(
  (n) =>
    new Do(`loseCaches(${n})`, async (world) => {
      const { of } = world.replica(n);
      const floors = await world.floorsOf(of);
      const rollups = await world.objects.list(rollupsPrefix(of.id), { limit: 10_000 });
      const checkpoints = await world.objects.list(checkpointsPrefix(of.id), { limit: 10_000 });
      const loose = checkpoints.filter(({ key }) => {
        const { lsn, hash } = parseCheckpointKey(key)!;
        const named = floors.flatMap(({ checkpoints }) => checkpoints);
        const isNamed = named.some((each) => each.lsn === lsn && each.hash.startsWith(hash));
        return lsn >= (floors.at(-1)?.lsn ?? 0) && !isNamed;
      });
      await world.objects.delete([headKey(of.id), ...[...rollups, ...loose].map(({ key }) => key)]);
    }),
);

const deleteAndBack = who.map(
  (n) =>
    new Do(`deleteAndBack(${n})`, async (world) => {
      const { of } = world.replica(n);
      const store = await world.openStore();
      await store.deleteVolume(of.id, { confirm: of.id });
      await store.undelete(of.id);
      await store.close();
    }),
);

const join = fc.constant(
  new Do("join()", async (world) => {
    if (world.replicas.length < REPLICAS_MOST + FORKS_MOST + 2) await world.addReplica(world.lines[0]!);
  }),
);

const weights: readonly (readonly [number, fc.Arbitrary<Step>])[] = [
  [8, commit],
  [2, stalePush],
  [2, pull],
  [5, pass],
  [2, setRetention],
  [5, collect],
  [2, sleepInCollect],
  [2, wake],
  [3, compact],
  [2, restore],
  [2, fork],
  [1, detach],
  [2, takeSnapshot],
  [2, takeOld],
  [1, closeSnapshot],
  [1, diff],
  [1, loseCaches],
  [1, deleteAndBack],
  [1, join],
];
const commands = weights.flatMap(([weight, command]) => Array.from({ length: weight }, () => command));

const options = fc.record({
  seed: fc.nat(2 ** 31 - 1),
  lagMs: fc.constantFrom(0, 0, 50 * MINUTE),
  replicas: fc.integer({ min: 1, max: REPLICAS_MOST }),
});

it(`invariants 1, 5, 8, 9 and 11 hold over ${RUNS} random histories that are compacted, collected, forked and restored (seed ${testSeed})`, async () => {
  await fc.assert(
    fc.asyncProperty(
      options,
      fc.commands(commands, { maxCommands: 45, size: "max" }),
      async (settings, steps) => {
        const world = await HistoryWorld.create(settings, codecs);
        // Something to begin with: most of what can go wrong needs a past.
        for (let n = 0; n < 5; n++) await world.commit(world.replica(n), [n, n + 3, 13 - n]);
        await fc.asyncModelRun(() => ({ model: world, real: {} }), steps);
        await world.checkAll();
      },
    ),
    { seed: testSeed, numRuns: RUNS },
  );
}, 900_000);
