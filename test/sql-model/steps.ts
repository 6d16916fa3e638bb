/** What a program consists of: SQL, and what happens around it. */
import fc from "fast-check";
import { check, checkFresh, checkPast, reader } from "./checks.ts";
import { opening } from "./definitions.ts";
import { Dice } from "./dice.ts";
import { statement } from "./queries.ts";
import type { Options } from "./site.ts";
import {
  type CutPush,
  cutPush,
  handOver,
  overtake,
  overtakeReading,
  pull,
  push,
  reset,
  sync,
} from "./verbs.ts";
import type { World } from "./world.ts";

export type Step =
  | { readonly do: "sql"; readonly sql: string }
  | ({ readonly do: "cut push" } & CutPush)
  | { readonly do: "past"; readonly share: number }
  | { readonly do: "crash"; readonly power: "lost" | "kept" }
  | { readonly do: "dies in"; readonly changes: number }
  | { readonly do: "disk full in"; readonly changes: number }
  | { readonly do: "unreachable in"; readonly batches: number }
  | { readonly do: "durability"; readonly level: "FULL" | "OFF" | "NORMAL" }
  | { readonly do: "journal"; readonly mode: string }
  | { readonly do: Plain };

/** What happens without more being said. */
type Plain =
  | "push"
  | "pull"
  | "reset"
  | "sync"
  | "hand over"
  | "overtake"
  | "overtake reading"
  | "switch"
  | "evict"
  | "reopen"
  | "check"
  | "reader"
  | "fresh";

export interface Program {
  readonly options: Options;
  readonly opening: readonly string[];
  readonly steps: readonly Step[];
}

export async function take(world: World, step: Step): Promise<void> {
  const { site } = world.current;
  // What is to fail is for the statements that follow at once.
  if (step.do !== "sql") site.disarm();
  switch (step.do) {
    case "sql":
      return world.sql(step.sql);
    case "push":
      await push(world);
      return;
    case "cut push":
      return cutPush(world, step);
    case "pull":
      return pull(world);
    case "reset":
      return reset(world);
    case "sync":
      return sync(world);
    case "hand over":
      return handOver(world);
    case "overtake":
      return overtake(world);
    case "overtake reading":
      return overtakeReading(world);
    case "switch":
      return world.switch();
    case "evict":
      return site.forget();
    case "reopen":
      return world.reopen();
    case "check":
      return check(world, "in between");
    case "reader":
      return reader(world);
    case "fresh":
      await checkFresh(world);
      return;
    case "past":
      return checkPast(world, Math.round(step.share * world.current.base));
    case "crash":
      return world.crash(step.power);
    case "dies in":
      return site.files.arm("process dies", step.changes);
    case "disk full in":
      return site.files.arm("disk is full", step.changes);
    case "unreachable in":
      await site.forget();
      site.line.failIn = step.batches;
      return;
    case "durability":
      return world.durability(step.level);
    case "journal":
      await site.run(`PRAGMA journal_mode = ${step.mode}`);
      return;
  }
}

/** Text of SQL shrinks by leaving statements out, not by becoming another statement. */
const seed = fc.noShrink(fc.nat(2 ** 31 - 1));
const sql: fc.Arbitrary<Step> = seed.map((n) => ({ do: "sql", sql: statement(new Dice(n)) }));
const plain = (name: Plain): fc.Arbitrary<Step> => fc.constant({ do: name });

const cutPushes: fc.Arbitrary<Step> = fc
  .record({ puts: fc.constantFrom(0, 0, 0, 1), takesEffect: fc.boolean(), crash: fc.boolean() })
  .map((cut) => ({ do: "cut push", ...cut }));

const weights: readonly fc.WeightedArbitrary<Step>[] = [
  { weight: 120, arbitrary: sql },
  { weight: 4, arbitrary: plain("push") },
  { weight: 3, arbitrary: cutPushes },
  { weight: 5, arbitrary: plain("pull") },
  { weight: 1, arbitrary: plain("reset") },
  { weight: 3, arbitrary: plain("sync") },
  { weight: 3, arbitrary: plain("hand over") },
  { weight: 3, arbitrary: plain("overtake") },
  { weight: 2, arbitrary: plain("overtake reading") },
  { weight: 1, arbitrary: plain("switch") },
  { weight: 5, arbitrary: plain("evict") },
  { weight: 2, arbitrary: plain("reopen") },
  { weight: 2, arbitrary: plain("check") },
  { weight: 3, arbitrary: plain("reader") },
  { weight: 1, arbitrary: plain("fresh") },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 100 }).map((n) => ({ do: "past", share: n / 100 })) },
  { weight: 3, arbitrary: fc.constantFrom("lost", "kept").map((power) => ({ do: "crash", power })) },
  { weight: 4, arbitrary: fc.nat(8).map((changes) => ({ do: "dies in", changes })) },
  { weight: 3, arbitrary: fc.nat(3).map((changes) => ({ do: "disk full in", changes })) },
  { weight: 4, arbitrary: fc.nat(2).map((batches) => ({ do: "unreachable in", batches })) },
  {
    weight: 2,
    arbitrary: fc.constantFrom("FULL", "OFF", "NORMAL").map((level) => ({ do: "durability", level })),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom("delete", "truncate", "persist", "memory", "wal", "off")
      .map((mode) => ({ do: "journal", mode })),
  },
];

/** @param suspending whether this runtime can suspend SQLite */
export function programs(suspending: boolean): fc.Arbitrary<Program> {
  const options: fc.Arbitrary<Options> = fc.record({
    seed: fc.nat(2 ** 31 - 1),
    pageSize: fc.constantFrom(512, 1024, 4096, 4096, 16_384),
    memoryBytes: fc.constantFrom(256 * 1024, 2 ** 20, 4 * 2 ** 20),
    diskBytes: fc.constantFrom(0, 256 * 1024),
    transactionBytes: fc.constantFrom(8 * 1024, 64 * 1024, 32 * 2 ** 20),
    tempBytes: fc.constantFrom(0, 128 * 1024, 64 * 2 ** 20),
    relaxed: fc.boolean(),
    suspending: suspending ? fc.boolean() : fc.constant(false),
  });
  const steps = fc.array(fc.oneof(...weights), { minLength: 10, maxLength: 120, size: "max" });
  return fc.tuple(options, seed, steps).map(([given, n, program]) => ({
    options: given,
    // A page of SQLite is read at once, and the volume's pages that it consists of must be in the cache together.
    opening: opening(new Dice(n), given.memoryBytes / 16),
    steps: program,
  }));
}
