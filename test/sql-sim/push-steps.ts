/** Steps of a teller that move local or remote commits: pushes with every way out of a divergence, pulls, resets. */
import { expect } from "vitest";
import { isPagefoldError, type PagefoldError } from "../../src/base/errors.ts";
import type { PushOptions, PushResult } from "../../vfs/database.ts";
import { checkBank, type Transfer } from "./bank.ts";
import type { Left, Remade, Teller } from "./teller.ts";
import { transfers } from "./transaction-steps.ts";

export async function push(teller: Teller, onDiverged: "error" | "reset"): Promise<Left | undefined> {
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

export async function pushOrMakeAgain(teller: Teller): Promise<Left | undefined> {
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

export async function pushOrFork(teller: Teller): Promise<Left | undefined> {
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

export async function beside(teller: Teller, pushing: Promise<Left | undefined>): Promise<Left | undefined> {
  const [pushed, ...made] = await Promise.allSettled([
    pushing,
    transfers(teller, "immediate"),
    transfers(teller, "immediate"),
  ]);
  if (pushed.status === "rejected") throw pushed.reason;
  const failed = made.find((each) => each.status === "rejected");
  if (failed === undefined) return pushed.value;
  // What the push did counts all the same.
  await teller.reconcile(pushed.value);
  throw failed.reason;
}

/** Made again by hand it is several calls, between which nothing else may come. */
export async function pushOrMakeAgainBeside(teller: Teller): Promise<Left | undefined> {
  return teller.parts.resident ? pushOrMakeAgain(teller) : beside(teller, pushOrMakeAgain(teller));
}

export async function pull(teller: Teller): Promise<undefined> {
  try {
    await teller.database.pull();
    await teller.hydrateWhereNeeded();
  } catch (error) {
    if (!isPagefoldError(error, "diverged")) throw error;
    expect(teller.local.length).toBeGreaterThan(0);
    teller.count("diverged");
  }
}

export async function fetch({ database }: Teller): Promise<undefined> {
  const { lsn, behind } = await database.fetch();
  const status = await database.status();
  expect([status.remoteLsn, status.behind]).toEqual([lsn, behind]);
}

export async function reset({ database }: Teller): Promise<Left> {
  const { dropped } = await database.reset();
  return { how: "dropped", count: dropped };
}
