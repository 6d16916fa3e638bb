/** Who does something in the history explorer: plans, what they remember, and the steps that each can take next, one request at a time. */

import type * as push from "../../../src/replicate/push-machine.ts";
import { collectorSteps, compactorSteps, sweeperSteps } from "./collecting.ts";
import { pusherSteps } from "./pushing.ts";
import { forkerSteps } from "./reliance.ts";
import type { Rules } from "./rules.ts";
import type { Checkpoint, Commit, Floor, Page, World } from "./world.ts";

export type Plan =
  | PusherPlan
  /** Makes a fork of the state at an LSN, which it knows already. */
  | { readonly is: "forker"; readonly name: string; readonly from: number }
  /** Raises the floor, round by round, and keeps single LSNs below it; what it keeps there may be written anew. */
  | { readonly is: "collector"; readonly name: string; readonly rounds: readonly Round[] }
  | { readonly is: "sweeper"; readonly name: string; readonly sweeps: number }
  /** Copies the state of an LSN into a segment of its own. */
  | { readonly is: "compactor"; readonly name: string; readonly at: readonly number[] };

export interface Round {
  readonly to: number;
  readonly keep: readonly number[];
  /** LSNs up to the floor that holds are copied into new segments. */
  readonly rewrites?: boolean;
}

export interface PusherPlan {
  readonly is: "pusher";
  readonly name: string;
  /** The LSN that it stands on at the beginning. */
  readonly on: number;
  readonly pushes: number;
  readonly writes: Page;
  /** Its pages are in a segment of their own. */
  readonly large?: boolean;
  /** Its commit brings the state of this LSN back. */
  readonly restores?: number;
  /** Answers to its PUTs get lost, and PUTs arrive late. */
  readonly lossy?: boolean;
  /** Writes a checkpoint after each push. */
  readonly checkpoints?: boolean;
  /** How often it moves to the newest commit, and how it finds that. */
  readonly pulls?: number;
  readonly finds?: "by listing" | "by asking";
}

/** All that an actor remembers; plain data. */
export interface ActorState {
  readonly at: string;
  readonly done: number;
  /** A pusher's. */
  readonly base?: { readonly lsn: number; readonly id: string };
  readonly pulled?: number;
  readonly commit?: Commit;
  readonly push?: push.PushState;
  readonly inFlight?: Commit;
  readonly head?: { readonly lsn: number; readonly id: string };
  readonly checkpoint?: Checkpoint;
  readonly floor?: Floor;
  readonly floors?: readonly Floor[];
  /** Checkpoints that these name. */
  readonly named?: readonly Checkpoint[];
  /** LSNs that still have to be made complete. */
  readonly left?: readonly number[];
  readonly made?: readonly string[];
  readonly doomed?: readonly string[];
  /** Outside of the system: what its user was told. */
  readonly acknowledged: readonly string[];
}

export interface Step {
  readonly kind: string;
  readonly text: string;
  readonly next: World;
}

export function firstState(plan: Plan, log: readonly Commit[]): ActorState {
  const state: ActorState = { at: "idle", done: 0, acknowledged: [] };
  if (plan.is !== "pusher") return state;
  return { ...state, base: { lsn: plan.on, id: log[plan.on - 1]!.id }, pulled: 0 };
}

/** What an actor can do next, in every way that it can go; nothing is a way too: it may sleep for as long as it likes. */
export function* stepsOf(world: World, i: number, plan: Plan, rules: Rules): Generator<Step> {
  switch (plan.is) {
    case "pusher":
      yield* pusherSteps(world, i, plan, rules);
      return;
    case "forker":
      yield* forkerSteps(world, i, plan, rules);
      return;
    case "collector":
      yield* collectorSteps(world, i, plan, rules);
      return;
    case "sweeper":
      yield* sweeperSteps(world, i, plan, rules);
      return;
    case "compactor":
      yield* compactorSteps(world, i, plan, rules);
  }
}

/** The world with an actor's new memory. Keys that are undefined are forgotten. */
export function become(
  world: World,
  i: number,
  change: { readonly [K in keyof ActorState]?: ActorState[K] | undefined },
): World {
  const merged: Record<string, unknown> = { ...world.actors[i]!, ...change };
  for (const key of Object.keys(merged)) if (merged[key] === undefined) delete merged[key];
  return { ...world, actors: world.actors.with(i, merged as unknown as ActorState) };
}
