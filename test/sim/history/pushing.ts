/** Pushers, also those that restore, write checkpoints, or slept: they create something, and then ask for the floor. */
import * as push from "../../../src/replicate/push-machine.ts";
import { become, type PusherPlan, type Step } from "./actors.ts";
import { relianceSteps } from "./reliance.ts";
import type { Rules } from "./rules.ts";
import {
  type Checkpoint,
  type Commit,
  canLag,
  checkpointAt,
  commitAt,
  type Floor,
  keys,
  list,
  newestFloor,
  numberIn,
  type Page,
  put,
  type World,
  type Writers,
  writersAt,
} from "./world.ts";

type As = (kind: string, text: string, next: World) => Step;

export function* pusherSteps(world: World, i: number, plan: PusherPlan, rules: Rules): Generator<Step> {
  const state = world.actors[i]!;
  const { name, restores } = plan;
  const base = state.base!;
  const as: As = (kind, text, next) => ({ kind, text: `${name} ${text}`, next });
  if (state.inFlight !== undefined) {
    const landed = become(arrive(world, state.inFlight), i, { inFlight: undefined });
    yield as("land", `has PUT ${show(state.inFlight)} arrive late`, landed);
  }
  switch (state.at) {
    case "idle":
      if (state.done < plan.pushes) {
        const commit = commitOf(world, plan, state.done, base);
        const at = restores !== undefined ? (rules.pinsFirst ? "pinning" : "asking") : afterPin(plan);
        const begun = become(world, i, { at, commit, done: state.done + 1, push: push.freshPush });
        yield as("record", `begins to push ${show(commit)}`, begun);
      }
      if (state.pulled! < (plan.pulls ?? 0)) yield* learn(world, i, plan, as);
      return;
    case "pinning":
    case "asking":
    case "replacing": {
      const pin = keys.restore(state.commit!.lsn, restores!);
      const otherwise = { commit: undefined, push: undefined };
      yield* relianceSteps(world, i, { name, pin, lsn: restores!, next: afterPin(plan), otherwise }, rules);
      return;
    }
    case "segment": {
      const next = become(put(world, state.commit!.segment!, { is: "segment" }), i, { at: "push" });
      yield as("segment", `puts ${state.commit!.segment}`, next);
      return;
    }
    case "push":
      yield* pushSteps(world, i, plan, rules, as);
      return;
    case "checking": {
      const floor = newestFloor(world);
      const head = state.head!;
      if (rules.asksFloorOfHead && floor.lsn > head.lsn) {
        const from = commitAt(world, floor.lsn);
        const found = from === undefined ? undefined : probe(world, { lsn: from.lsn, id: from.id });
        yield as(
          "above head",
          `finds floor ${floor.n} above LSN ${head.lsn}`,
          become(world, i, { head: found ?? head, at: found === undefined ? "idle" : "checking" }),
        );
      } else
        yield as(
          "move",
          `moves to LSN ${head.lsn}`,
          become(world, i, { at: "idle", base: head, head: undefined }),
        );
      return;
    }
    case "loading": {
      const checkpoint = inherited(world, base.lsn, state.floor!);
      const next = become(
        world,
        i,
        checkpoint === undefined ? { at: "idle" } : { at: "writing", checkpoint },
      );
      yield as("load", `makes a checkpoint at LSN ${base.lsn} from floor ${state.floor!.n}`, next);
      return;
    }
    case "writing": {
      const checkpoint = state.checkpoint!;
      const written = put(world, keys.checkpoint(checkpoint), { is: "checkpoint", checkpoint });
      yield as("checkpoint", `puts ${keys.checkpoint(checkpoint)}`, become(written, i, { at: "rechecking" }));
      return;
    }
    case "rechecking": {
      const key = keys.checkpoint(state.checkpoint!);
      const isNamed = newestFloor(world).n === state.floor!.n;
      const next = become(world, i, { at: "idle", checkpoint: undefined, floor: undefined });
      if (isNamed) yield as("anchor", `names ${key} in the next header`, next);
      // Another may have written the very same bytes, and named them: it stays until a sweep finds it.
      else yield as("let go", `leaves ${key}`, next);
    }
  }
}

/** A checkpoint that copies nothing: places as the newest one of the floor has them, of pages that nobody wrote since. */
function inherited(world: World, lsn: number, floor: Floor): Checkpoint | undefined {
  const below = floor.checkpoints
    .filter((key) => numberIn(key) <= lsn)
    .sort((a, b) => numberIn(b) - numberIn(a));
  if (below.length === 0) return { lsn, under: floor.n, places: {} };
  const from = checkpointAt(world, below[0]!);
  if (from === undefined) return undefined;
  const writers = writersAt(world.log, lsn);
  const before = writersAt(world.log, from.lsn);
  const places: Partial<Record<Page, string>> = {};
  for (const [page, place] of Object.entries(from.places) as [Page, string][]) {
    if (writers[page] === before[page]) places[page] = place;
  }
  return { lsn, under: floor.n, places };
}

function afterPin({ large }: PusherPlan): string {
  return large ? "segment" : "push";
}

function commitOf(world: World, plan: PusherPlan, done: number, base: { lsn: number; id: string }): Commit {
  const id = `${plan.name}${done + 1}`;
  const lsn = base.lsn + 1;
  if (plan.restores !== undefined) {
    const target = writersAt(world.log, plan.restores);
    const now = writersAt(world.log, base.lsn);
    const restores: Writers = {};
    for (const [page, writer] of Object.entries(target) as [Page, number][]) {
      if (now[page] !== writer) restores[page] = writer;
    }
    return { id, lsn, on: base.id, writes: [], restores };
  }
  const segment = plan.large ? { segment: keys.segment(lsn, id) } : {};
  return { id, lsn, on: base.id, writes: [plan.writes], ...segment };
}

function* learn(world: World, i: number, plan: PusherPlan, as: As): Generator<Step> {
  const { base, pulled } = world.actors[i]!;
  const more = { pulled: pulled! + 1 };
  if (plan.finds === "by asking") {
    const head = probe(world, base!);
    yield as(
      "probe",
      `asks for commits above LSN ${base!.lsn}: ${head.lsn} is the newest`,
      become(world, i, { ...more, at: "checking", head }),
    );
    return;
  }
  for (const lags of canLag(world, "commits/") ? [false, true] : [false]) {
    const newest = Math.max(0, ...list(world, "commits/", lags).map(numberIn));
    const commit = commitAt(world, newest);
    if (commit === undefined || newest < base!.lsn) continue;
    const moved = become(world, i, { ...more, base: { lsn: newest, id: commit.id } });
    yield as("list", `lists ${lags ? "with a lag " : ""}and moves to LSN ${newest}`, moved);
  }
}

function probe(
  world: World,
  from: { readonly lsn: number; readonly id: string },
): { lsn: number; id: string } {
  let head = from;
  for (;;) {
    const next = commitAt(world, head.lsn + 1);
    if (next === undefined || next.on !== head.id) return head;
    head = { lsn: next.lsn, id: next.id };
  }
}

function arrive(world: World, commit: Commit): World {
  return put(world, keys.commit(commit.lsn), { is: "commit", commit });
}

function* pushSteps(world: World, i: number, plan: PusherPlan, rules: Rules, as: As): Generator<Step> {
  const state = world.actors[i]!;
  const commit = state.commit!;
  const stored = commitAt(world, commit.lsn);
  const after = (w: World, event: push.PushEvent, floor?: Floor): World =>
    become(w, i, {
      push: bounded(rules.pushNext(state.push!, event)),
      ...(floor === undefined ? {} : { floor }),
    });
  if (plan.lossy && state.push!.at !== "asking") {
    yield as("crash", "crashes", become(world, i, { push: rules.recoveredPush }));
  }
  const action = rules.pushAction(state.push!);
  switch (action.do) {
    case "create": {
      const answer = stored === undefined ? "created" : "exists";
      yield as(answer, `puts ${show(commit)}: ${answer}`, after(arrive(world, commit), { answer }));
      if (!plan.lossy || state.inFlight !== undefined) return;
      yield as(
        "unknown",
        `puts ${show(commit)}: no answer`,
        become(after(world, { answer: "unknown" }), i, { inFlight: commit }),
      );
      return;
    }
    case "readBack": {
      const found =
        stored === undefined
          ? "absent"
          : rules.whose({ pushId: commit.id, hash: commit.id }, { pushId: stored.id, hash: stored.id });
      yield as("read back", `reads commit ${commit.lsn} back: ${found}`, after(world, { found }));
      return;
    }
    case "askFloor": {
      const floor = newestFloor(world);
      const is = floor.lsn > commit.lsn ? "above" : "notAbove";
      yield as(`floor ${is}`, `asks for the floor: ${floor.lsn}`, after(world, { floor: is }, floor));
      return;
    }
    case "readNext": {
      const above = commitAt(world, commit.lsn + 1);
      const next = above === undefined ? "absent" : above.on === commit.id ? "onOurs" : "onAnother";
      yield as(`next ${next}`, `reads commit ${commit.lsn + 1}: ${next}`, after(world, { next }));
      return;
    }
    case "finish":
      yield as(
        `finish ${action.result}`,
        `is told: ${action.result}`,
        finished(world, i, plan, action.result, commit),
      );
  }
}

function finished(world: World, i: number, plan: PusherPlan, result: string, commit: Commit): World {
  const state = world.actors[i]!;
  const closed = { at: "idle", commit: undefined, push: undefined };
  if (result !== "won") return become(world, i, { ...closed, floor: undefined });
  const acknowledged = [...state.acknowledged, commit.id];
  const base = { lsn: commit.lsn, id: commit.id };
  if (!plan.checkpoints) return become(world, i, { ...closed, base, acknowledged, floor: undefined });
  return become(world, i, { ...closed, at: "loading", base, acknowledged });
}

/** How often it was tried decides nothing here. */
function bounded(state: push.PushState): push.PushState {
  return "attempts" in state ? { ...state, attempts: 0 } : state;
}

function show({ id, lsn }: Commit): string {
  return `${id}@${lsn}`;
}
