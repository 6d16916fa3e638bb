/**
 * What a teller does, one step at a time, chosen by its seed: transactions of every kind, pushes with every way out of a divergence, pulls, resets,
 * views of the past, reopening. A step may fail with `unavailable` where the network is down, and with nothing else.
 */
import { expect } from "vitest";
import { isPagefoldError, type PagefoldError } from "../../src/base/errors.ts";
import type { PushOptions, PushResult } from "../../vfs/database.ts";
import { canPay, checkBank, type Transfer, transfer } from "./bank.ts";
import type { Left, Remade, Teller } from "./teller.ts";

type Step = (teller: Teller) => Promise<Left | undefined>;

const STEPS: readonly (readonly [weight: number, name: string, step: Step])[] = [
  [34, "transfers", (teller) => transfers(teller, "immediate")],
  [6, "deferred transfers", (teller) => transfers(teller, "deferred")],
  [4, "transfers with a savepoint", savepoint],
  [4, "an overdraft", overdraft],
  [3, "a transaction that throws", thrown],
  [2, "a stale transaction", stale],
  [4, "maintenance", maintenance],
  [9, "push", (teller) => push(teller, "error")],
  [4, "push or reset", (teller) => push(teller, "reset")],
  [10, "push or make again", pushOrMakeAgain],
  [2, "push or fork", pushOrFork],
  [4, "push beside transfers", (teller) => beside(teller, push(teller, "error"))],
  [3, "push or make again beside transfers", pushOrMakeAgainBeside],
  [7, "pull", pull],
  [2, "fetch", fetch],
  [2, "reset", reset],
  [3, "look at the past", lookAtThePast],
  [3, "look again", lookAgain],
  [2, "reopen", reopen],
  [4, "check", check],
];
const TOTAL_WEIGHT = STEPS.reduce((sum, [weight]) => sum + weight, 0);
const VIEWS_MAX = 2;

/** @param stormy whether requests may fail */
export async function runSteps(teller: Teller, steps: number, stormy: boolean): Promise<void> {
  for (let i = 1; i <= steps; i++) {
    const [, name, step] = choose(teller);
    try {
      await teller.reconcile(await attempted(teller, name, step, stormy));
    } catch (error) {
      throw new Error(`${teller.parts.name}, step ${i}, ${name}: ${String(error)}`, { cause: error });
    }
  }
}

async function attempted(
  teller: Teller,
  name: string,
  step: Step,
  stormy: boolean,
): Promise<Left | undefined> {
  try {
    if (teller.dry) await teller.hydrateWhereNeeded();
    teller.dry = false;
    const left = await step(teller);
    teller.count(name);
    return left;
  } catch (error) {
    if (!stormy || !isPagefoldError(error, "unavailable")) throw error;
    teller.count("unavailable");
    teller.dry = true;
    return undefined;
  }
}

function choose({ parts: { random } }: Teller): (typeof STEPS)[number] {
  let left = random() * TOTAL_WEIGHT;
  for (const step of STEPS) {
    left -= step[0];
    if (left < 0) return step;
  }
  return STEPS[0]!;
}

async function transfers(teller: Teller, mode: "immediate" | "deferred"): Promise<undefined> {
  const wanted = 1 + Math.floor(teller.parts.random() * 3);
  const made: Transfer[] = [];
  try {
    await teller.database.transaction(
      async (transaction) => {
        for (let i = 0; i < wanted; i++) {
          const next = teller.newTransfer();
          if (!(await canPay(transaction, next))) continue;
          await transfer(transaction, next);
          made.push(next);
        }
      },
      { mode },
    );
  } catch (error) {
    // They must never be seen.
    teller.parts.pushes.dropped(made);
    throw error;
  }
  if (made.length > 0) teller.local.push(made);
}

async function savepoint(teller: Teller): Promise<undefined> {
  const [kept, undone] = [teller.newTransfer(), teller.newTransfer()];
  teller.parts.pushes.dropped([undone]);
  let made = false;
  await teller.database.transaction(async (transaction) => {
    if (!(await canPay(transaction, kept))) return;
    await transfer(transaction, kept);
    await transaction.exec("SAVEPOINT s");
    if (await canPay(transaction, undone)) await transfer(transaction, undone);
    await transaction.exec("ROLLBACK TO s; RELEASE s");
    made = true;
  });
  if (made) teller.local.push([kept]);
}

async function overdraft(teller: Teller): Promise<undefined> {
  const tooMuch = { ...teller.newTransfer(), amount: 1_000_000 };
  teller.parts.pushes.dropped([tooMuch]);
  await failsWith(
    "invalid",
    teller.database.transaction((transaction) => transfer(transaction, tooMuch)),
  );
}

async function thrown(teller: Teller): Promise<undefined> {
  const undone = teller.newTransfer();
  teller.parts.pushes.dropped([undone]);
  const reason = new Error("changed my mind");
  const failing = teller.database.transaction(async (transaction) => {
    if (await canPay(transaction, undone)) await transfer(transaction, undone);
    throw reason;
  });
  expect(await failureOf(failing)).toBe(reason);
}

/** Reads, moves on in the middle, writes: only on what it has read may it write. */
async function stale(teller: Teller): Promise<undefined> {
  if (teller.local.length > 0) return;
  const late = teller.newTransfer();
  let [moved, wrote] = [false, false];
  const running = teller.database.transaction(
    async (transaction) => {
      if (!(await canPay(transaction, late))) return;
      const { from, lsn } = await teller.database.pull();
      moved = from !== lsn;
      wrote = true;
      await transfer(transaction, late);
    },
    { mode: "deferred" },
  );
  const error = await failureOf(running);
  if (wrote && error === undefined) teller.local.push([late]);
  else teller.parts.pushes.dropped([late]);
  if (moved) expect(error).toMatchObject({ code: "conflict" });
  await teller.hydrateWhereNeeded();
}

const MAINTENANCE = [
  "VACUUM",
  "REINDEX",
  "ANALYZE",
  "CREATE INDEX IF NOT EXISTS ledger_more ON ledger(memo, amount)",
  "DROP INDEX IF EXISTS ledger_more",
  "CREATE TABLE IF NOT EXISTS scratch AS SELECT a.id, b.memo FROM ledger a, ledger b LIMIT 2000",
  "DROP TABLE IF EXISTS scratch",
  "INSERT INTO memos(memos) VALUES ('optimize')",
] as const;

async function maintenance(teller: Teller): Promise<undefined> {
  const sql = MAINTENANCE[Math.floor(teller.parts.random() * MAINTENANCE.length)]!;
  const { commit } = await teller.database.exec(sql);
  if (commit !== undefined) teller.local.push([]);
}

async function push(teller: Teller, onDiverged: "error" | "reset"): Promise<Left | undefined> {
  try {
    const left = leftBy(await teller.database.push({ onDiverged }));
    if (left?.how !== "dropped") return left;
    await teller.reconcile(left);
    await teller.hydrateWhereNeeded();
  } catch (error) {
    if (onDiverged !== "error" || !isPagefoldError(error, "diverged")) throw error;
    expect(teller.local.length).toBeGreaterThan(0);
    teller.count("diverged");
  }
}

function leftBy({ outcome, commits: count, lsn }: PushResult): Left | undefined {
  if (outcome === "pushed") return { how: "pushed", count, lsn };
  return outcome === "nothing" ? undefined : { how: "dropped", count };
}

async function pushOrMakeAgain(teller: Teller): Promise<Left | undefined> {
  if (teller.parts.resident) return makeAgainByHand(teller);
  let remade: Remade | undefined;
  const onDiverged: PushOptions["onDiverged"] = async (transaction) => {
    if (remade !== undefined) teller.adopt(remade);
    remade = undefined;
    remade = await teller.makeAgain(transaction, teller.local.flat());
  };
  try {
    const result = await teller.database.push({ onDiverged });
    if (result.replays > 0) teller.count("made again");
    if (remade !== undefined) teller.adopt(remade);
    return leftBy(result);
  } catch (error) {
    const { details, cause } = error as PagefoldError;
    if (details?.dropped === undefined) {
      if (remade !== undefined) teller.adopt(remade);
      throw error;
    }
    // The transaction could not be carried out: an application that knows what it wanted tries again.
    await insist(teller, teller.local.flat());
    throw cause ?? error;
  }
}

async function insist(teller: Teller, given: readonly Transfer[]): Promise<void> {
  for (;;) {
    try {
      await teller.hydrateWhereNeeded();
      const remade = await teller.database.transaction((transaction) => teller.makeAgain(transaction, given));
      return teller.adopt(remade);
    } catch (error) {
      if (!isPagefoldError(error, "unavailable")) throw error;
    }
  }
}

async function makeAgainByHand(teller: Teller): Promise<Left | undefined> {
  const left = leftBy(await teller.database.push({ onDiverged: "reset" }));
  if (left?.how !== "dropped") return left;
  await insist(teller, (await teller.reconcile(left)).flat());
  teller.count("made again");
}

async function pushOrFork(teller: Teller): Promise<Left | undefined> {
  const { database, parts, forks } = teller;
  const tag = `fork-${parts.name}-${teller.forkTags}`;
  let result: PushResult;
  try {
    result = await database.push({ onDiverged: "fork", tag });
  } catch (error) {
    // An earlier attempt was cut off when it had taken the name, and what it would have forked has changed since.
    if (isPagefoldError(error, "conflict")) teller.forkTags++;
    if (isPagefoldError(error, "conflict") && teller.counts.has("unavailable")) return;
    throw error;
  }
  if (result.outcome !== "forked") return leftBy(result);
  teller.count("forked");
  teller.forkTags++;
  const gone = (await teller.reconcile({ how: "dropped", count: result.commits })).flat();
  forks.push({ tag, ids: gone.map(({ id }) => id) });
  await teller.hydrateWhereNeeded();
  if (!parts.resident) await checkFork(teller, tag, gone);
}

/** The fork has what the local commits had made, before it is pushed and while its parent moves on. */
async function checkFork({ database }: Teller, tag: string, moved: readonly Transfer[]): Promise<void> {
  await database.exec(`ATTACH '${tag}' AS fork`);
  try {
    const ids = await checkBank(database, tag, "fork");
    expect(ids.slice(ids.length - moved.length), `${tag}: what was moved`).toEqual(moved.map(({ id }) => id));
  } finally {
    await database.exec("DETACH fork");
  }
}

async function beside(teller: Teller, pushing: Promise<Left | undefined>): Promise<Left | undefined> {
  const [pushed, ...made] = await Promise.allSettled([
    pushing,
    transfers(teller, "immediate"),
    transfers(teller, "immediate"),
  ]);
  // All have ended before the first failure is passed on.
  if (pushed.status === "rejected") throw pushed.reason;
  for (const each of made) if (each.status === "rejected") throw each.reason;
  return pushed.value;
}

/** Made again by hand it is several calls, between which nothing else may come. */
async function pushOrMakeAgainBeside(teller: Teller): Promise<Left | undefined> {
  return teller.parts.resident ? pushOrMakeAgain(teller) : beside(teller, pushOrMakeAgain(teller));
}

async function pull(teller: Teller): Promise<undefined> {
  try {
    await teller.database.pull();
    await teller.hydrateWhereNeeded();
  } catch (error) {
    if (!isPagefoldError(error, "diverged")) throw error;
    expect(teller.local.length).toBeGreaterThan(0);
    teller.count("diverged");
  }
}

async function fetch({ database }: Teller): Promise<undefined> {
  const { lsn, behind } = await database.fetch();
  const status = await database.status();
  expect([status.remoteLsn, status.behind]).toEqual([lsn, behind]);
}

async function reset({ database }: Teller): Promise<Left> {
  const { dropped } = await database.reset();
  return { how: "dropped", count: dropped };
}

async function lookAtThePast(teller: Teller): Promise<undefined> {
  const { lsn } = await teller.database.status();
  if (teller.views.length >= VIEWS_MAX) await teller.closeView();
  await teller.holdView(teller.parts.resident ? lsn : 1 + Math.floor(teller.parts.random() * lsn));
}

async function lookAgain(teller: Teller): Promise<undefined> {
  await teller.checkViews();
}

async function reopen(teller: Teller): Promise<undefined> {
  await teller.reopen();
}

async function check(teller: Teller): Promise<undefined> {
  await teller.check();
}

async function failsWith(code: string, work: Promise<unknown>): Promise<void> {
  expect(await failureOf(work)).toMatchObject({ code });
}

/** What it failed with; undefined where it succeeded. The weather is none of its failures. */
async function failureOf(work: Promise<unknown>): Promise<unknown> {
  const error = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (isPagefoldError(error, "unavailable")) throw error;
  return error;
}
