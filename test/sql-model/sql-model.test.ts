/**
 * SQLite over the VFS against SQLite alone: random programs, statement by statement, with pushes, pulls, evictions, failures and crashes between
 * and within statements. PAGEFOLD_MODEL_RUNS multiplies the number of programs, PAGEFOLD_TEST_SEED chooses others.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import { loadCodecs } from "../../src/format/codecs.ts";
import { canSuspend } from "../../vfs/sqlite/thunks.ts";
import { testSeed } from "../local/xxh64.ts";
import { wantsMore } from "../more.ts";
import { checkElsewhere } from "./checks.ts";
import { openOtherBuild } from "./other-build.ts";
import { shrink } from "./shrink.ts";
import { type Program, programs, take } from "./steps.ts";
import { converge } from "./verbs.ts";
import { World } from "./world.ts";

const RUNS = (wantsMore ? 50 : 35) * Number(process.env.PAGEFOLD_MODEL_RUNS ?? 1);

/** A run in which one of these never happened proves nothing about it. */
const EVENTS = [
  "push",
  "push cut off",
  "pull",
  "reset",
  "diverged",
  "conflict",
  "past",
  "reader",
  "crash, power lost",
  "crash, power kept",
  "death in a statement",
  "relaxed commits lost",
  "unavailable",
  "quota",
  "same bytes as SQLite alone writes",
];

const codecs = await loadCodecs();
const sqlite3 = await sqlite3InitModule();
// It prints every statement that SQLite refuses.
sqlite3.config.warn = () => {};

const build = await openOtherBuild();
const directory = mkdtempSync(join(tmpdir(), "pagefold-sql-model-"));
const seen = new Map<string, number>();

afterAll(() => {
  if (typeof build !== "string") build.close();
  rmSync(directory, { recursive: true });
});

async function run({ options, opening, steps }: Program): Promise<void> {
  const world = await World.create({ sqlite3, codecs }, options, opening);
  for (const step of steps) await take(world, step);
  await converge(world);
  if (typeof build !== "string") await checkElsewhere(world, build, join(directory, "exported.db"));
  await world.close();
  for (const [event, count] of [...world.seen, ["statements", world.statements] as const])
    seen.set(event, (seen.get(event) ?? 0) + count);
}

async function failure(program: Program): Promise<unknown> {
  try {
    await run(program);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** A program that fails, made short, with its own error. */
async function explained(program: Program, error: unknown): Promise<Error> {
  const fails = async (other: Program): Promise<boolean> => (await failure(other)) !== undefined;
  const steps = await shrink(program.steps, (fewer) => fails({ ...program, steps: fewer }));
  const opening = await shrink(program.opening, (fewer) => fails({ ...program, opening: fewer, steps }));
  const short = { ...program, opening, steps };
  const cause = (await failure(short)) ?? error;
  return new Error(`this program goes wrong:\n${JSON.stringify(short, undefined, 1)}\n${String(cause)}`, {
    cause,
  });
}

it(`invariants 1, 2, 3, 6, 11 and 12: ${RUNS} programs give what SQLite gives (seed ${testSeed})`, async () => {
  const property = fc.asyncProperty(programs(canSuspend()), async (program) => {
    const error = await failure(program);
    if (error !== undefined) throw await explained(program, error);
  });
  await fc.assert(property, { seed: testSeed, numRuns: RUNS, endOnFailure: true });
  console.log(Object.fromEntries(seen));
  for (const event of EVENTS) expect(seen.get(event) ?? 0, `how often: ${event}`).toBeGreaterThan(0);
}, 6_000_000);

it("another build of SQLite finds each exported file sound, and the same in it", (ctx) => {
  if (typeof build === "string") return ctx.skip(build);
  expect(seen.get("opened by another build"), `by ${build.name}`).toBe(RUNS);
});
