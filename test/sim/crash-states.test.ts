/**
 * The whole engine in every state that a crash may leave: a recorded workload (local commits, spilled transactions, pushes, pulls,
 * resets, imports, compaction of the log, page cache on disk, a rival) is cut off anywhere, with any legal subset of what the disk
 * had not flushed, writes torn, a PUT in flight arrived, lost or late. Each is reopened, checked and run on.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { RecordLog } from "../../src/local/record-log.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { StoreSettings } from "../../src/store/settings.ts";
import type { Volume } from "../../src/store/volume.ts";
import { ReplicaLog } from "../../src/volume/replica-log.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { wantsMore } from "../more.ts";
import { type CrashState, RecordingBlockFileSystem } from "./block-crash.ts";
import {
  contentOf,
  type Moment,
  openEngine,
  PAGE,
  remoteAfter,
  runWorkload,
  sameBytes,
  TAG,
  type Workload,
  written,
} from "./crash-workload.ts";

// Sizes that no simulation reaches are made small: the log's extents of 1 MiB, and the 64 MiB above which it is compacted.
const { open: openRecordLog } = RecordLog;
const { open: openReplicaLog } = ReplicaLog;
beforeAll(() => {
  RecordLog.open = (files, options) =>
    openRecordLog.call(RecordLog, files, { ...options, extentBytes: EXTENT_BYTES });
  ReplicaLog.open = (files, options) =>
    openReplicaLog.call(ReplicaLog, files, { ...options, compactAboveBytes: COMPACT_ABOVE_BYTES });
});
afterAll(() => {
  RecordLog.open = openRecordLog;
  ReplicaLog.open = openReplicaLog;
});
const EXTENT_BYTES = 8192;
const COMPACT_ABOVE_BYTES = 6144;

/** One crash: what was left on the disk, and what of the store's objects had come through. */
interface Crash {
  readonly disk: CrashState;
  /** Objects that had arrived. */
  readonly puts: number;
  /** The PUT that was on its way arrives before this request of the recovering client; undefined: never, or there is none. */
  readonly lateAt: number | undefined;
}

function* crashesOf(
  workload: Workload,
  disk: CrashState,
  all: boolean,
  random: () => number,
): Generator<Crash> {
  const { puts } = workload;
  const least = puts.filter(({ at }) => at < disk.issued).length;
  const most = puts.filter(({ at }) => at <= disk.issued).length;
  const variants: Crash[] = [];
  for (let n = least; n <= most; n++) {
    variants.push({ disk, puts: n, lateAt: undefined });
    const next = puts[n];
    if (n === most || next?.own !== true || !next.key.includes("/commits/")) continue;
    variants.push({ disk, puts: n, lateAt: 1 + Math.floor(random() * 4) });
  }
  if (all) yield* variants;
  else yield variants[Math.floor(random() * variants.length)]!;
}

/** The store as the recovering client finds it. */
async function remoteOf(workload: Workload, crash: Crash): Promise<ObjectStore> {
  const { lateAt } = crash;
  const remote = await remoteAfter(workload.puts, crash.puts);
  if (lateAt === undefined) return remote;
  const late = workload.puts[crash.puts]!;
  let requests = 0;
  const arrive = async (): Promise<void> => {
    if (++requests === lateAt) await remote.put(late.key, late.bytes, { ifAbsent: late.ifAbsent });
  };
  return {
    url: "memory:late",
    capabilities: remote.capabilities,
    get: async (key, options) => {
      await arrive();
      return remote.get(key, options);
    },
    put: async (key, body, options) => {
      await arrive();
      return remote.put(key, body, options);
    },
    list: async (prefix, options) => {
      await arrive();
      return remote.list(prefix, options);
    },
    delete: (keys, options) => remote.delete(keys, options),
    close: async () => {},
  };
}

function isPast(moment: Moment | undefined, crash: Crash): boolean {
  return moment !== undefined && moment.operations <= crash.disk.issued && moment.puts <= crash.puts;
}

/** Checks that the volume holds what one of the allowed steps left (or `moved`, if given), and answers those bytes. */
function checkContent(workload: Workload, crash: Crash, found: Uint8Array, moved?: Uint8Array): Uint8Array {
  if (moved !== undefined && sameBytes(found, moved)) return found;
  const { contents } = workload;
  const oldest = contents.findLastIndex(({ durable }) => isPast(durable, crash));
  const newest = contents.findLastIndex(({ begun }) => isPast(begun, crash));
  const allowed = contents.slice(oldest, newest + 1);
  if (!allowed.some(({ bytes }) => sameBytes(bytes, found))) {
    const is = contents.findIndex(({ bytes }) => sameBytes(bytes, found));
    const what = is === -1 ? "bytes of no step" : `step ${is}`;
    expect.fail(`holds ${what}, not of steps ${oldest} (${contents[oldest]?.step}) to ${newest}`);
  }
  return found;
}

/**
 * Reopens after a crash, lets the engine finish what was cut off, and works on.
 * @param moved what an earlier recovery, cut off as well, may have moved to
 */
async function recover(
  workload: Workload,
  crash: Crash,
  remote: ObjectStore,
  seed: number,
  moved?: Uint8Array,
): Promise<void> {
  const { settings, history } = workload;
  const { files } = crash.disk;
  const store = await openEngine(remote, files, settings, seed);
  const volume = await store.volume(TAG);
  const found = checkContent(workload, crash, await contentOf(volume), moved);
  const wasAhead = volume.status().ahead;

  // Invariant 11: what was cut off is finished, or found lost; nothing local goes without being asked for.
  try {
    await volume.pull();
  } catch (error) {
    if (!isPagefoldError(error, "diverged")) throw error;
    expect(wasAhead, "diverged without local commits").toBeGreaterThan(0);
    expect(sameBytes(await contentOf(volume), found), "a pull that diverges changes nothing").toBe(true);
    await volume.reset();
    await volume.pull();
  }
  const { lsn: base, ahead, pendingPush } = volume.status();
  expect(pendingPush).toBe(false);
  const expected = ahead > 0 ? found : history[base]!;
  expect(sameBytes(await contentOf(volume), expected), `is at LSN ${base} with ${ahead} local commits`).toBe(
    true,
  );
  const newest = Math.max(
    0,
    ...workload.acknowledged.filter(({ at }) => isPast(at, crash)).map(({ lsn }) => lsn),
  );
  expect(base, "an acknowledged push is missing").toBeGreaterThanOrEqual(newest);

  const marker = new Uint8Array(PAGE + 100).fill(0x99);
  const next = written(expected, 3 * PAGE - 50, marker);
  await volume.write(3 * PAGE - 50, marker);
  expect((await volume.push()).lsn).toBe(base + 1);
  await store.close();
  await checkRemote(remote, [...history.slice(0, base + 1), next], settings, seed + 1);

  const again = await openEngine(remote, files, settings, seed + 2);
  const reopened = await again.volume(TAG);
  expect(sameBytes(await contentOf(reopened), next), "after another start").toBe(true);
  expect(reopened.status()).toMatchObject({ state: "clean", lsn: base + 1, pendingPush: false });
  await again.close();
}

/** Recovers up to its first pull, and crashes in the middle of that: answers how many states of the disk were tried. */
async function recoverTwice(workload: Workload, crash: Crash, seed: number): Promise<number> {
  const remote = await remoteOf(workload, crash);
  const files = await RecordingBlockFileSystem.over(crash.disk.files.clone());
  const store = await openEngine(remote, files, workload.settings, seed);
  const volume = await store.volume(TAG);
  await volume.pull().catch((error: unknown) => {
    if (!isPagefoldError(error, "diverged")) throw error;
  });
  const moved = await contentOf(volume);
  let tried = 0;
  for await (const disk of files.crashStates({ seed, exhaustiveUpTo: 2, samples: 2, torn: 2 })) {
    // The store may already have what the recovery sent: so it has, with another time, after a PUT that came late.
    const again = { ...crash, disk: { ...disk, issued: crash.disk.issued } };
    const copy = new MemoryObjectStore();
    for (const { key } of await remote.list("", { limit: 100_000 })) {
      await copy.put(key, (await remote.get(key))!);
    }
    try {
      await recover(workload, again, copy, seed + ++tried, moved);
    } catch (error) {
      throw new Error(`then, ${disk.description}: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
  }
  return tried;
}

/** The log as a stranger sees it: every LSN holds what was pushed there, once. */
async function checkRemote(
  remote: ObjectStore,
  history: readonly Uint8Array[],
  settings: Partial<StoreSettings>,
  seed: number,
): Promise<void> {
  const stranger: PageStore = await openEngine(remote, new MemoryBlockFileSystem(), settings, seed);
  const volume: Volume = await stranger.volume(TAG);
  expect(volume.status().lsn).toBe(history.length - 1);
  for (const [lsn, bytes] of history.entries()) {
    const snapshot = await volume.at(lsn);
    const same = sameBytes(await snapshot.read(0, snapshot.byteLength), bytes);
    snapshot.close();
    expect(same, `invariants 1 and 3: LSN ${lsn} holds what was pushed there`).toBe(true);
  }
  expect((await volume.verify()).commits).toBe(history.length - 1);
  await stranger.close();
}

/** Small budgets, so that transactions spill and pages are evicted. */
const tight: Partial<StoreSettings> = {
  memoryBytes: 6 * PAGE,
  diskBytes: 0,
  transactionBytes: 4 * PAGE,
  frameBytes: 2 * PAGE,
};

const families: Record<string, Partial<StoreSettings>> = {
  "without a page cache on disk": tight,
  "with a page cache on disk": { ...tight, diskBytes: 24 * PAGE },
};
const WORKLOADS = 2;
/** Which states of the disk are tried between two of its operations. */
const DISKS = wantsMore
  ? { exhaustiveUpTo: 4, samples: 4, torn: 4 }
  : { exhaustiveUpTo: 3, samples: 3, torn: 3 };
const STEPS = 24;

interface Tally {
  disks: number;
  crashes: number;
  late: number;
  twice: number;
}

/** Everything that a crash may leave of one workload. */
async function enumerate(seed: number, workload: Workload, tally: Tally): Promise<void> {
  const random = seededRandom(seed);
  const from = workload.contents[0]!.begun.operations;
  let point = -1;
  for await (const disk of workload.files.crashStates({
    seed,
    from,
    ...DISKS,
  })) {
    tally.disks++;
    const all = disk.issued !== point;
    point = disk.issued;
    for (const crash of crashesOf(workload, disk, all, random)) {
      tally.crashes++;
      if (crash.lateAt !== undefined) tally.late++;
      const twice = tally.crashes % (wantsMore ? 50 : 100) === 0;
      try {
        const remote = await remoteOf(workload, crash);
        const files = disk.files.clone();
        await recover(workload, { ...crash, disk: { ...disk, files } }, remote, seed + tally.crashes);
        if (twice) tally.twice += await recoverTwice(workload, crash, seed + tally.crashes);
      } catch (error) {
        const where = `seed ${seed} (${workload.steps.join(", ")}), ${disk.description}, ${crash.puts} objects`;
        const when = crash.lateAt === undefined ? "" : `, one more before request ${crash.lateAt}`;
        throw new Error(`${where}${when}: ${error instanceof Error ? error.message : error}`, {
          cause: error,
        });
      }
    }
  }
}

describe("the engine after a crash", () => {
  for (const [i, [name, settings]] of Object.entries(families).entries()) {
    it(`invariants 2, 3, 5 and 11: ${name}`, async () => {
      const tally: Tally = { disks: 0, crashes: 0, late: 0, twice: 0 };
      const steps = new Set<string>();
      let compactions = 0;
      for (let n = 0; n < WORKLOADS; n++) {
        const seed = testSeed + 1000 * i + n;
        const workload = await runWorkload(seed, STEPS, settings);
        for (const step of workload.steps) steps.add(step);
        // A compaction empties the log file that it leaves.
        const cut = workload.files.operations.filter((each) => each.kind === "truncate" && each.size === 0);
        compactions += cut.length;
        await enumerate(seed, workload, tally);
      }
      const { disks, crashes, late, twice } = tally;
      console.log(
        `${name}: ${disks} states of the disk, ${crashes} crashes, ${late} with a PUT that came late, ${twice} while recovering`,
      );
      // A search that tries little finds nothing.
      expect(crashes).toBeGreaterThan(200);
      expect(late).toBeGreaterThan(3);
      expect(twice).toBeGreaterThan(10);
      expect(compactions).toBeGreaterThan(0);
      expect(steps.size).toBeGreaterThanOrEqual(9);
    }, 240_000);
  }

  it("invariant 11: a volume whose creation was cut off is created by trying again", async () => {
    const workload = await runWorkload(testSeed, 1, tight);
    const { operations } = workload.contents[0]!.begun;
    let tried = 0;
    for await (const disk of workload.files.crashStates({ seed: testSeed, torn: 4 })) {
      if (disk.issued > operations) break;
      for (const crash of crashesOf(workload, disk, true, seededRandom(tried))) {
        const remote = await remoteOf(workload, crash);
        const store = await openEngine(remote, disk.files.clone(), tight, ++tried);
        const volume = await store.createVolume({ pageSize: PAGE, tag: TAG }).catch((error: unknown) => {
          if (!isPagefoldError(error, "conflict")) throw error;
          return store.volume(TAG);
        });
        await volume.write(0, new Uint8Array(10).fill(1));
        expect((await volume.push()).lsn, disk.description).toBe(1);
        await store.close();
      }
    }
    expect(tried).toBeGreaterThan(10);
  });
});

describe("the enumeration finds", () => {
  async function firstComplaint(change: (workload: Workload) => Workload): Promise<string> {
    for (let seed = testSeed; seed < testSeed + 3; seed++) {
      const workload = change(await runWorkload(seed, 12, tight));
      const tally: Tally = { disks: 0, crashes: 0, late: 0, twice: 0 };
      try {
        await enumerate(seed, workload, tally);
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    }
    return "nothing";
  }

  it("a disk that flushes nothing", async () => {
    const complaint = await firstComplaint((workload) => {
      const { operations } = workload.files;
      const start = workload.contents[0]!.begun.operations;
      for (let i = start; i < operations.length; i++) {
        const operation = operations[i]!;
        if (operation.kind === "flush") operations[i] = { kind: "flush", file: "another" };
      }
      return workload;
    });
    expect(complaint).not.toBe("nothing");
  });

  it("a store that loses an object which it had acknowledged", async () => {
    const complaint = await firstComplaint((workload) => ({
      ...workload,
      puts: workload.puts.map((put, i) =>
        i > 1 && put.key.includes("/commits/") ? { ...put, key: `lost/${i}` } : put,
      ),
    }));
    expect(complaint).not.toBe("nothing");
  });

  it("a step that was acknowledged before it was durable", async () => {
    const complaint = await firstComplaint((workload) => ({
      ...workload,
      contents: workload.contents.map((content) => ({ ...content, durable: content.begun })),
    }));
    expect(complaint).toMatch(/holds step/);
  });
});
