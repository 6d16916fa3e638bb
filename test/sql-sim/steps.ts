/**
 * What a teller does, one step at a time, chosen by its seed: transactions of every kind, pushes with every way out of a divergence, pulls, resets,
 * views of the past, reopening. A step may fail with `unavailable` where the network is down, and with nothing else.
 */
import { isPagefoldError } from "../../src/base/errors.ts";
import {
  beside,
  fetch,
  pull,
  push,
  pushOrFork,
  pushOrMakeAgain,
  pushOrMakeAgainBeside,
  reset,
} from "./push-steps.ts";
import type { Left, Teller } from "./teller.ts";
import { maintenance, overdraft, savepoint, stale, thrown, transfers } from "./transaction-steps.ts";

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
