/** What replicas do with one another, in the world and in the model: pushes, pulls, resets, and sequences of them. */
import { expect } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { check, checkFresh } from "./checks.ts";
import { expectBytes } from "./content.ts";
import type { World } from "./world.ts";

export interface CutPush {
  /** How many get through before. */
  readonly puts: number;
  /** Whether the first that fails has taken effect all the same, which nobody is told. */
  readonly takesEffect: boolean;
  readonly crash: boolean;
}

export async function push(world: World): Promise<"pushed" | "diverged"> {
  const replica = world.current;
  const { site } = replica;
  const image = replica.stale ? undefined : replica.committed();
  try {
    const { lsn } = await site.volume.push();
    if (replica.locals.length > 0) {
      expect(lsn, "invariant 4: the next LSN").toBe(world.head + 1);
      world.images.push(image!);
      world.note("push");
    } else {
      expect(lsn, "nothing to push").toBe(replica.base);
    }
    replica.base = lsn;
    replica.dropLocals();
    return "pushed";
  } catch (error) {
    if (!isPagefoldError(error, "diverged")) throw error;
    expect(replica.locals.length, "only a commit can diverge").toBeGreaterThan(0);
    expect(world.head, "invariant 5: diverged only where another's commit is").toBeGreaterThan(replica.base);
    world.note("diverged");
    return "diverged";
  }
}

/**
 * A push whose requests fail from some point on, perhaps with the end of the process. Invariants 3 and 11: another one finishes it, and what was
 * pushed is in the log once.
 */
export async function cutPush(world: World, step: CutPush): Promise<void> {
  const { objects } = world.shared;
  if (!world.current.inTransaction) await world.sql("INSERT INTO kept VALUES (2)");
  objects.cuts = 0;
  objects.cut(step.puts, step.takesEffect);
  try {
    await push(world);
  } catch (error) {
    if (!isPagefoldError(error, "unavailable")) throw error;
    expect(objects.cuts, "only a cable that was cut keeps a push from its end").toBeGreaterThan(0);
    world.note("push cut off");
  } finally {
    objects.mend();
  }
  if (step.crash) await world.crash("lost");
  await push(world);
}

/** Invariant 1: a transaction that has begun to read goes on seeing what it saw. */
export async function pull(world: World): Promise<void> {
  const replica = world.current;
  const { site } = replica;
  if (site.writing) return;
  // From here on the transaction has its snapshot.
  if (replica.inTransaction) await world.both("SELECT count(*) FROM sqlite_schema");
  try {
    await site.volume.pull();
  } catch (error) {
    if (!isPagefoldError(error, "diverged")) throw error;
    expect(replica.locals.length > 0 && world.head > replica.base, "diverged").toBe(true);
    return;
  }
  if (replica.base === world.head) return;
  expect(replica.locals, "a pull over local commits").toEqual([]);
  replica.base = world.head;
  replica.moved();
  world.note("pull");
}

export async function reset(world: World): Promise<void> {
  const replica = world.current;
  const { site } = replica;
  if (site.writing) return;
  if (replica.inTransaction) await world.both("SELECT count(*) FROM sqlite_schema");
  const { dropped } = await site.volume.reset();
  expect(dropped).toBe(replica.locals.length);
  if (dropped === 0) return;
  replica.dropLocals();
  replica.moved();
  world.note("reset");
}

/** Ends what is open, and brings this replica and the remote together. */
export async function sync(world: World): Promise<void> {
  const replica = world.current;
  replica.site.disarm();
  if (replica.inTransaction) await world.sql("COMMIT");
  if (replica.inTransaction) await world.sql("ROLLBACK");
  if ((await push(world)) === "diverged") await reset(world);
  await pull(world);
  await check(world, "after a sync");
}

/** Another replica pushes something, where it can. */
export async function overtake(world: World): Promise<void> {
  const mine = world.current;
  world.switch();
  if (!world.current.inTransaction) {
    await pull(world);
    await world.sql("INSERT INTO kept VALUES (1)");
    if ((await push(world)) === "diverged") await reset(world);
  }
  world.current = mine;
}

/** The volume moves away under a transaction that has begun to read. */
export async function overtakeReading(world: World): Promise<void> {
  if (!world.current.inTransaction) await world.sql("BEGIN");
  await overtake(world);
  await pull(world);
}

/** This replica and then the next one are brought up to date, and the next one goes on. */
export async function handOver(world: World): Promise<void> {
  await sync(world);
  world.switch();
  await sync(world);
}

/** All replicas at one state, byte by byte. */
export async function converge(world: World): Promise<void> {
  for (const replica of [...world.replicas, ...world.replicas]) {
    world.current = replica;
    await sync(world);
  }
  const bytes = await checkFresh(world);
  for (const { site } of world.replicas)
    expectBytes(await site.bytes(), bytes, `invariants 6 and 12: all bytes of ${site.name}`);
}
