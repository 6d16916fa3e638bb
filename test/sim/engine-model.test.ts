/**
 * The whole engine as a state machine: random sequences of everything that replicas of one volume can do, with lost answers, crashes
 * and tiny caches, against the naive model of `engine-model.ts`. PAGEFOLD_TEST_RUNS raises the number of sequences,
 * PAGEFOLD_TEST_SEED chooses others.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { loadCodecs } from "../../src/format/codecs.ts";
import { commitsPrefix } from "../../src/format/keys.ts";
import { testSeed } from "../local/xxh64.ts";
import { wantsMore } from "../more.ts";
import {
  expectBytes,
  outcomeOf,
  type ReplicaModel,
  resized,
  type Weather,
  World,
  type WorldOptions,
  written,
} from "./engine-model.ts";

const codecs = await loadCodecs();
const RUNS = Number(process.env.PAGEFOLD_TEST_RUNS ?? (wantsMore ? 180 : 60));
const REPLICAS_MOST = 4;
const PAGES_MOST = 40;

type Step = fc.AsyncCommand<World, object>;

/** One command: `allowed` and `run` as plain functions of the world. */
class Do implements Step {
  readonly #name: string;
  readonly #run: (world: World) => Promise<void>;
  readonly #allowed: (world: World) => boolean;

  constructor(
    name: string,
    run: (world: World) => Promise<void>,
    allowed: (world: World) => boolean = () => true,
  ) {
    this.#name = name;
    this.#run = run;
    this.#allowed = allowed;
  }

  check(world: World): boolean {
    return this.#allowed(world);
  }

  async run(world: World): Promise<void> {
    await this.#run(world);
    await world.observe();
    await checkReplicas(world);
  }

  toString(): string {
    return this.#name;
  }
}

/** After every command: each replica says where it is, and shows the right bytes somewhere. */
async function checkReplicas(world: World): Promise<void> {
  for (const replica of world.replicas) {
    const status = replica.volume.status();
    const content = world.content(replica);
    expect(status.lsn, `LSN of ${replica.name}`).toBe(replica.base);
    expect(status.ahead, `local commits of ${replica.name}`).toBe(replica.locals.length);
    expect(status.byteLength, `length of ${replica.name}`).toBe(content.length);
    expect(status.pendingPush, `unfinished push of ${replica.name}`).toBe(replica.pending !== undefined);
    expect(replica.volume.stateChecksum, `state checksum of ${replica.name}`).toBe(
      world.checksums[replica.base],
    );
    const from = Math.floor(world.runtime.random() * (content.length + 1));
    const length = Math.floor(world.runtime.random() * 3 * world.options.pageSize);
    const found = await replica.volume.read(from, length);
    expectBytes(found, content.subarray(from, from + length), `${replica.name} at ${from}`);
  }
}

async function checkWhole(world: World, replica: ReplicaModel): Promise<void> {
  const content = world.content(replica);
  expectBytes(await replica.volume.read(0, content.length + 10), content, `all of ${replica.name}`);
}

// --- what values commands take ---------------------------------------------------------------------------------------

const who = fc.nat(REPLICAS_MOST - 1);
/** Not `fc.double`: most doubles between 0 and 1 are next to 0. */
const share = fc.integer({ min: 0, max: 1000 }).map((n) => n / 1000);
const durability = fc.constantFrom("full" as const, "full" as const, "relaxed" as const);

interface Piece {
  readonly at: number;
  readonly length: number;
  readonly fill: number;
  readonly aligned: boolean;
}

/** Where and what to write, as shares of the volume's present size. */
const piece: fc.Arbitrary<Piece> = fc.record({
  at: share,
  length: fc.nat(5000),
  fill: fc.nat(255),
  aligned: fc.boolean(),
});

function place(world: World, content: Uint8Array, p: Piece): { offset: number; bytes: Uint8Array } {
  const { pageSize } = world.options;
  const span = Math.min(content.length + 10 * pageSize, (PAGES_MOST - 6) * pageSize);
  let offset = Math.floor(p.at * span);
  let length = p.length;
  if (p.aligned) {
    offset -= offset % pageSize;
    length = pageSize * (1 + (p.length % 3));
  }
  return { offset, bytes: patterned(length, p.fill) };
}

/** Zeros for fill 0 to 40, so that zeroed pages are common; else bytes that compress a little. */
function patterned(length: number, fill: number): Uint8Array {
  const bytes = new Uint8Array(length);
  if (fill > 40) for (let i = 0; i < length; i++) bytes[i] = (fill + (i >> 4) * 7) & 0xff;
  return bytes;
}

const lengthOf = (world: World, content: Uint8Array, at: number, grow: boolean): number =>
  grow
    ? Math.min(
        Math.floor(content.length + at * 4 * world.options.pageSize),
        PAGES_MOST * world.options.pageSize,
      )
    : Math.floor(content.length * at);

function committed(replica: ReplicaModel, content: Uint8Array, how: "full" | "relaxed", made: boolean): void {
  if (!made) return;
  replica.locals.push(content);
  if (how === "full") replica.durable = replica.locals.length;
}

// --- commands ----------------------------------------------------------------------------------------------------------

const write = fc.tuple(who, piece, durability).map(
  ([n, p, how]) =>
    new Do(`write(${n}, ${JSON.stringify(p)}, ${how})`, async (world) => {
      const replica = world.replica(n);
      const before = world.content(replica);
      const { offset, bytes } = place(world, before, p);
      const { sequence } = await replica.volume.write(offset, bytes, { durability: how });
      const after = written(before, offset, bytes);
      if (sequence === undefined) expectBytes(after, before, "no commit where something changed");
      committed(replica, after, how, sequence !== undefined);
    }),
);

const streamedWrite = fc.tuple(who, piece, fc.integer({ min: 1, max: 900 })).map(
  ([n, p, chunk]) =>
    new Do(`streamedWrite(${n}, ${JSON.stringify(p)}, ${chunk})`, async (world) => {
      const replica = world.replica(n);
      const before = world.content(replica);
      const { offset, bytes } = place(world, before, p);
      const pieces = async function* () {
        for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + chunk);
      };
      const { sequence } = await replica.volume.write(offset, pieces());
      committed(replica, written(before, offset, bytes), "full", sequence !== undefined);
    }),
);

const truncate = fc.tuple(who, share, fc.boolean(), durability).map(
  ([n, at, grow, how]) =>
    new Do(`truncate(${n}, ${at}, ${grow}, ${how})`, async (world) => {
      const replica = world.replica(n);
      const before = world.content(replica);
      const length = lengthOf(world, before, at, grow);
      const { sequence } = await replica.volume.truncate(length, { durability: how });
      expect(sequence !== undefined, "truncating commits exactly where the length changes").toBe(
        length !== before.length,
      );
      committed(replica, resized(before, length), how, sequence !== undefined);
    }),
);

/** Several changes at once, some of them shrinking and growing; more than three staged pages spill. */
const transaction = fc
  .tuple(
    who,
    fc.array(fc.tuple(piece, fc.constantFrom("write", "write", "shrink", "grow"))),
    fc.nat(3),
    durability,
  )
  .map(
    ([n, changes, end, how]) =>
      new Do(`transaction(${n}, ${JSON.stringify(changes)}, ${end}, ${how})`, async (world) => {
        const replica = world.replica(n);
        let content = world.content(replica);
        const tx = await replica.volume.begin({ durability: how });
        for (const [p, kind] of changes) {
          if (kind === "write") {
            const { offset, bytes } = place(world, content, p);
            await tx.write(offset, bytes);
            content = written(content, offset, bytes);
          } else {
            const length = lengthOf(world, content, p.at, kind === "grow");
            await tx.truncate(length);
            content = resized(content, length);
          }
          expect(tx.byteLength).toBe(content.length);
          const from = Math.floor(p.at * content.length);
          expectBytes(await tx.read(from, 3000), content.subarray(from, from + 3000), "its own writes");
        }
        expectBytes(
          await replica.volume.read(0, 1e9),
          world.content(replica),
          "invariant 2: readers see nothing of an open transaction",
        );
        if (end === 0) {
          tx.rollback();
          return;
        }
        const { sequence } = tx.commit();
        if (sequence === undefined) expectBytes(content, world.content(replica), "nothing changed");
        committed(replica, content, how, sequence !== undefined);
      }),
  );

/** A push (which may compact the local log) while a transaction is open. */
const pushUnderTransaction = fc.tuple(who, fc.array(piece, { minLength: 3, maxLength: 8 })).map(
  ([n, changes]) =>
    new Do(`pushUnderTransaction(${n}, ${JSON.stringify(changes)})`, async (world) => {
      const replica = world.replica(n);
      let content = world.content(replica);
      const tx = await replica.volume.begin();
      for (const p of changes) {
        const { offset, bytes } = place(world, content, p);
        await tx.write(offset, bytes);
        content = written(content, offset, bytes);
      }
      await doPush(world, replica);
      expectBytes(await tx.read(0, 1e9), content, "a transaction after a push");
      const { sequence } = tx.commit();
      committed(replica, content, "full", sequence !== undefined);
    }),
);

const takeSnapshot = who.map(
  (n) =>
    new Do(
      `takeSnapshot(${n})`,
      async (world) => {
        const replica = world.replica(n);
        const content = world.content(replica);
        world.snapshots.push({ replica, store: replica.store, snapshot: replica.volume.snapshot(), content });
      },
      (world) => world.snapshots.length < 6,
    ),
);

const rereadSnapshot = fc.tuple(fc.nat(5), fc.boolean()).map(
  ([i, close]) =>
    new Do(
      `rereadSnapshot(${i}, ${close})`,
      async (world) => {
        const index = i % world.snapshots.length;
        const { snapshot, content, replica } = world.snapshots[index]!;
        expect(snapshot.byteLength).toBe(content.length);
        expectBytes(await snapshot.read(0, 1e9), content, `invariant 1: a snapshot of ${replica.name}`);
        if (!close) return;
        snapshot.close();
        world.snapshots.splice(index, 1);
      },
      (world) => world.snapshots.length > 0,
    ),
);

/** Pushes and holds the result against the model. */
async function doPush(world: World, replica: ReplicaModel): Promise<void> {
  replica.prepare(world.content(replica));
  const outcome = await outcomeOf(replica.volume.push());
  await world.observe();
  judgePush(world, replica, outcome);
}

type Outcome = Awaited<ReturnType<typeof outcomeOf<{ readonly lsn: number; readonly commits: number }>>>;

function judgePush(world: World, replica: ReplicaModel, outcome: Outcome): void {
  const { pushing } = replica;
  replica.pushing = undefined;
  world.reconcile(replica);
  if (outcome.code === undefined) {
    const { lsn, commits } = outcome.value;
    if (lsn > replica.base) {
      expectBytes(world.states[lsn]!, pushing!.content, `invariant 3: commit ${lsn} is what was pushed`);
      expect(commits, "all local commits went into it").toBe(replica.locals.length);
      replica.base = lsn;
      replica.drop(commits);
    } else {
      expect(replica.locals.length, "a push without a new commit had nothing to push").toBe(0);
      expect(lsn).toBe(replica.base);
    }
    return;
  }
  if (outcome.code === "diverged") {
    expect(world.head, "invariant 5: diverged only where another's commit is").toBeGreaterThan(replica.base);
    expect(replica.locals.length).toBeGreaterThan(0);
    expect(replica.volume.status().state).toBe("diverged");
    return;
  }
  expect(outcome.code).toBe("unavailable");
}

const push = who.map((n) => new Do(`push(${n})`, async (world) => doPush(world, world.replica(n))));

/** Both build on what they know; one of one LSN wins, the other learns it. */
const race = fc.tuple(who, who).map(
  ([n, m]) =>
    new Do(
      `race(${n}, ${m})`,
      async (world) => {
        const racers = [world.replica(n), world.replica(m)];
        for (const replica of racers) {
          replica.prepare(world.content(replica));
        }
        const outcomes = await Promise.all(racers.map((replica) => outcomeOf(replica.volume.push())));
        await world.observe();
        for (const [i, replica] of racers.entries()) judgePush(world, replica, outcomes[i]!);
      },
      (world) => world.replica(n) !== world.replica(m),
    ),
);

type Trouble = "answer lost" | "cut off after" | "cut off before" | "late" | "one failure" | "segment fails";

function weatherOf(world: World, trouble: Trouble): Weather {
  const commits = commitsPrefix(world.id);
  let cut = false;
  let once = false;
  return (operation, key) => {
    const commit = operation === "put" && key.startsWith(commits);
    switch (trouble) {
      case "answer lost":
        if (!commit || once) return undefined;
        once = true;
        return { kind: "fail-after" };
      case "one failure":
        if (operation.includes("?") || once) return undefined;
        once = true;
        return { kind: "fail-before" };
      case "cut off after":
      case "cut off before":
        if (cut) return operation.includes("?") ? undefined : { kind: "fail-before" };
        if (!commit) return undefined;
        cut = true;
        return { kind: trouble === "cut off after" ? "fail-after" : "fail-before" };
      case "late":
        if (operation === "late?put" && key.startsWith(commits)) {
          cut = true;
          return { kind: "fail-before" };
        }
        return cut && !operation.includes("?") ? { kind: "fail-before" } : undefined;
      case "segment fails":
        return operation === "put" && key.includes("/segments/")
          ? { kind: "interrupt", afterBytes: 10 }
          : undefined;
    }
  };
}

const trouble = fc.constantFrom<Trouble>(
  "answer lost",
  "cut off after",
  "cut off before",
  "late",
  "one failure",
  "segment fails",
);

const troubledPush = fc.tuple(who, trouble).map(
  ([n, what]) =>
    new Do(`troubledPush(${n}, ${what})`, async (world) => {
      const replica = world.replica(n);
      replica.weather = weatherOf(world, what);
      try {
        await doPush(world, replica);
      } finally {
        replica.weather = undefined;
      }
    }),
);

const lateLands = fc.constant(
  new Do(
    "lateLands",
    async (world) => {
      await world.inFlight.shift()!();
    },
    (world) => world.inFlight.length > 0,
  ),
);

const pull = who.map(
  (n) =>
    new Do(`pull(${n})`, async (world) => {
      const replica = world.replica(n);
      const outcome = await outcomeOf(replica.volume.pull());
      await world.observe();
      world.settle(replica);
      if (replica.locals.length > 0 && world.head > replica.base) {
        expect(outcome.code, "local and remote commits").toBe("diverged");
        return;
      }
      expect(outcome.code).toBe(undefined);
      replica.base = world.head;
    }),
);

/** A pull whose requests fail, are cut short or come damaged: it moves whole or not at all. */
const troubledPull = fc
  .tuple(who, fc.nat(12), fc.constantFrom("fail-before" as const, "truncate" as const, "flip" as const))
  .map(
    ([n, from, kind]) =>
      new Do(`troubledPull(${n}, ${from}, ${kind})`, async (world) => {
        const replica = world.replica(n);
        let calls = 0;
        replica.weather = (operation) => {
          if (operation.includes("?") || calls++ < from) return undefined;
          if (kind === "fail-before") return { kind };
          if (operation !== "get") return undefined;
          return kind === "flip" ? { kind, bit: calls * 331 + from } : { kind, keep: 40 };
        };
        const outcome = await outcomeOf(replica.volume.pull());
        replica.weather = undefined;
        await world.observe();
        const { lsn, pendingPush } = replica.volume.status();
        if (!pendingPush) world.settle(replica);
        if (outcome.code === undefined) replica.base = world.head;
        expect(lsn, "invariant 2: moved whole or not at all").toBe(replica.base);
      }),
  );

const fetch = who.map(
  (n) =>
    new Do(`fetch(${n})`, async (world) => {
      const replica = world.replica(n);
      const { lsn, behind } = await replica.volume.fetch();
      await world.observe();
      world.settle(replica);
      expect(lsn).toBe(world.head);
      expect(behind).toBe(world.head - replica.base);
      const { state } = replica.volume.status();
      const ahead = replica.locals.length > 0;
      expect(state).toBe(behind > 0 ? (ahead ? "diverged" : "behind") : ahead ? "ahead" : "clean");
    }),
);

const reset = who.map(
  (n) =>
    new Do(`reset(${n})`, async (world) => {
      const replica = world.replica(n);
      const { dropped } = await replica.volume.reset();
      await world.observe();
      world.settle(replica);
      expect(dropped).toBe(replica.locals.length);
      replica.drop(dropped);
    }),
);

const clone = fc.constant(
  new Do(
    "clone",
    async (world) => {
      const replica = await world.addReplica();
      await checkWhole(world, replica);
    },
    (world) => world.replicas.length < REPLICAS_MOST,
  ),
);

const past = fc.tuple(who, share).map(
  ([n, at]) =>
    new Do(`past(${n}, ${at})`, async (world) => {
      const replica = world.replica(n);
      const lsn = Math.round(at * replica.base);
      const snapshot = await replica.volume.at(lsn);
      expectBytes(
        await snapshot.read(0, 1e9),
        world.states[lsn]!,
        `invariant 1: ${replica.name} at LSN ${lsn}`,
      );
      snapshot.close();
      expect((await outcomeOf(replica.volume.at(replica.base + 1))).code).toBe("not_found");
    }),
);

const crash = fc.tuple(who, fc.constantFrom("lost" as const, "kept" as const)).map(
  ([n, power]) =>
    new Do(`crash(${n}, power ${power})`, async (world) => {
      await world.crash(world.replica(n), power);
    }),
);

/** The process dies while its k-th request is under way, before or after it took effect. */
const crashInPush = fc
  .tuple(
    who,
    fc.nat(8),
    fc.constantFrom("hang" as const, "hang-after" as const),
    fc.constantFrom("lost" as const, "kept" as const),
  )
  .map(
    ([n, k, how, power]) =>
      new Do(`crashInPush(${n}, ${k}, ${how}, power ${power})`, async (world) => {
        const replica = world.replica(n);
        replica.prepare(world.content(replica));
        let calls = 0;
        replica.weather = (operation, key) => {
          if (!operation.startsWith("hang?") || key.endsWith("/head")) return undefined;
          return calls++ < k ? undefined : how;
        };
        const hung = new Promise<"hung">((resolve) => {
          replica.hung = () => resolve("hung");
        });
        const outcome = await Promise.race([outcomeOf(replica.volume.push()), hung]);
        await world.observe();
        if (outcome !== "hung") judgePush(world, replica, outcome);
        await world.crash(replica, power);
        replica.pushing = undefined;
      }),
  );

const evictAll = who.map(
  (n) =>
    new Do(`evictAll(${n})`, async (world) => {
      const snapshot = world.replica(n).volume.snapshot();
      snapshot.context.cache.evictAll();
      snapshot.close();
    }),
);

const reopen = who.map((n) => new Do(`reopen(${n})`, async (world) => world.reopen(world.replica(n))));

/** Reads through failing requests and flipped bits: right bytes or an error, and right bytes afterwards. */
const flakyRead = fc.tuple(who, fc.nat(10_000), fc.constantFrom("flip" as const, "fail-before" as const)).map(
  ([n, bit, kind]) =>
    new Do(`flakyRead(${n}, ${bit}, ${kind})`, async (world) => {
      const replica = world.replica(n);
      const snapshot = replica.volume.snapshot();
      snapshot.context.cache.evictAll();
      let calls = 0;
      replica.weather = (operation) => {
        if (operation !== "get" || calls++ % 3 !== bit % 3) return undefined;
        return kind === "flip" ? { kind, bit: bit * 7 + calls } : { kind };
      };
      const content = world.content(replica);
      const outcome = await outcomeOf(snapshot.read(0, 1e9));
      replica.weather = undefined;
      if (outcome.code === undefined) expectBytes(outcome.value, content, "invariant 7: a flaky read");
      else expect(["corrupt", "unavailable", "unsupported_version"]).toContain(outcome.code);
      expectBytes(await snapshot.read(0, 1e9), content, "invariant 7: nothing wrong was cached");
      snapshot.close();
    }),
);

const hydrate = who.map(
  (n) =>
    new Do(`hydrate(${n})`, async (world) => {
      const replica = world.replica(n);
      const outcome = await outcomeOf(replica.volume.hydrate());
      if (outcome.code === undefined) expect(outcome.value.stateChecksum).toBe(world.checksums[replica.base]);
      else expect(outcome.code, "only a cache that is too small stops it").toBe("quota");
    }),
);

/** A source that equals the volume but in some places, and may be shorter or longer. */
const importSource = fc.tuple(who, fc.array(piece, { maxLength: 3 }), fc.option(share), fc.boolean()).map(
  ([n, changes, cut, grow]) =>
    new Do(`import(${n}, ${JSON.stringify(changes)}, ${cut}, ${grow})`, async (world) => {
      const replica = world.replica(n);
      let content = world.states[replica.base]!;
      if (cut !== null) content = resized(content, lengthOf(world, content, cut, grow));
      for (const p of changes) {
        const { offset, bytes } = place(world, content, p);
        content = written(content, offset, bytes);
      }
      const source = {
        name: "source",
        size: content.length,
        read: async (offset: number, into: Uint8Array) => {
          const part = content.subarray(offset, offset + into.length);
          into.set(part);
          return part.length;
        },
        check: async () => {},
      };
      replica.pushing = { replica: replica.name, content, through: 0 };
      const outcome = await outcomeOf(replica.volume.import(source));
      replica.pushing = undefined;
      await world.observe();
      world.settle(replica);
      if (replica.locals.length > 0) {
        expect(outcome.code, "an import over local commits is refused").toBe("invalid");
      } else if (outcome.code === undefined) {
        expectBytes(world.states[outcome.value.lsn]!, content, "the imported commit");
        replica.base = outcome.value.lsn;
      } else {
        expect(outcome.code, "another writer was first").toBe("conflict");
        expect(world.head).toBeGreaterThan(replica.base);
      }
    }),
);

const exportIt = who.map(
  (n) =>
    new Do(`export(${n})`, async (world) => {
      const replica = world.replica(n);
      const content = world.content(replica);
      let out = new Uint8Array(0);
      const { bytes, lsn, stateChecksum } = await replica.volume.export({
        resize: async (size) => {
          out = new Uint8Array(size);
        },
        write: async (offset, part) => out.set(part, offset),
      });
      expect([bytes, lsn]).toEqual([content.length, replica.base]);
      expectBytes(out, content, `export of ${replica.name}`);
      if (replica.locals.length === 0) expect(stateChecksum).toBe(world.checksums[lsn]);
    }),
);

const verify = fc.tuple(who, share).map(
  ([n, at]) =>
    new Do(`verify(${n}, ${at})`, async (world) => {
      const replica = world.replica(n);
      const lsn = Math.round(at * replica.base);
      const result = await replica.volume.verify({ lsn });
      expect(result.stateChecksum).toBe(world.checksums[lsn]);
      expect(result.commits).toBe(lsn);
    }),
);

const readWhole = who.map(
  (n) => new Do(`readWhole(${n})`, async (world) => checkWhole(world, world.replica(n))),
);

/** What changes content comes often, what disturbs it once in a while. */
const weights: readonly (readonly [number, fc.Arbitrary<Step>])[] = [
  [6, write],
  [1, streamedWrite],
  [4, truncate],
  [4, transaction],
  [1, pushUnderTransaction],
  [3, takeSnapshot],
  [3, rereadSnapshot],
  [4, push],
  [1, race],
  [2, troubledPush],
  [1, lateLands],
  [2, pull],
  [1, troubledPull],
  [1, fetch],
  [1, reset],
  [1, clone],
  [1, past],
  [1, crash],
  [1, crashInPush],
  [1, evictAll],
  [1, reopen],
  [1, flakyRead],
  [1, hydrate],
  [1, importSource],
  [1, exportIt],
  [1, verify],
  [1, readWhole],
];
const commands = weights.flatMap(([weight, command]) => Array.from({ length: weight }, () => command));

const options: fc.Arbitrary<WorldOptions> = fc.record({
  seed: fc.nat(2 ** 31 - 1),
  pageSize: fc.constantFrom(512, 512, 1024, 4096),
  cachePages: fc.constantFrom(4, 16, 64),
  diskPages: fc.constantFrom(0, 24),
});

/** At the end: every replica alone, then all of them at one state. */
async function checkEnd(world: World): Promise<void> {
  for (const held of world.snapshots) {
    expectBytes(await held.snapshot.read(0, 1e9), held.content, "invariant 1: a snapshot held to the end");
  }
  for (const late of world.inFlight.splice(0)) await late();
  await world.observe();
  for (const replica of world.replicas) {
    await checkWhole(world, replica);
    await replica.volume.fetch();
    await world.observe();
    world.settle(replica);
    replica.drop((await replica.volume.reset()).dropped);
    await replica.volume.pull();
    replica.base = world.head;
    await checkWhole(world, replica);
    expect(replica.volume.stateChecksum, "independent replicas agree").toBe(world.checksums[world.head]);
    const log: number[] = [];
    for await (const entry of replica.volume.log()) log.push(entry.lsn);
    expect(log, "invariant 4: the log has no gaps").toEqual(
      Array.from({ length: world.head }, (_, i) => world.head - i),
    );
    await replica.store.close();
  }
  const fresh = await world.addReplica();
  const { pages } = await fresh.volume.verify();
  expect(pages).toBeGreaterThanOrEqual(0);
  await checkWhole(world, fresh);
  await fresh.store.close();
}

it(`invariants 1 to 6, 11 and 12 hold over ${RUNS} random histories of several replicas (seed ${testSeed})`, async () => {
  await fc.assert(
    fc.asyncProperty(
      options,
      fc.commands(commands, { maxCommands: 60, size: "max" }),
      async (settings, steps) => {
        const world = await World.create(settings, codecs);
        await fc.asyncModelRun(() => ({ model: world, real: {} }), steps);
        await checkEnd(world);
      },
    ),
    { seed: testSeed, numRuns: RUNS },
  );
}, 600_000);
