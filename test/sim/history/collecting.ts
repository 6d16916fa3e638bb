/** Who makes floors and deletes: collectors, compactors, and sweepers that take one object at a time. */
import { become, type Plan, type Step } from "./actors.ts";
import type { Rules } from "./rules.ts";
import {
  type Checkpoint,
  canLag,
  checkpointAt,
  commitAt,
  type Floor,
  keys,
  list,
  newestFloor,
  numberIn,
  type Page,
  pinnedBy,
  placeOf,
  put,
  remove,
  type World,
  writersAt,
} from "./world.ts";

type As = (kind: string, text: string, next: World) => Step;
type Of<Is extends Plan["is"]> = Extract<Plan, { is: Is }>;

const forgets = {
  ...{ floor: undefined, floors: undefined, named: undefined },
  ...{ left: undefined, made: undefined, doomed: undefined },
};
const pinPrefixes = ["forks/", "restores/"] as const;

/** What is listed, without a lag and, where it may, with one. */
function* listings(
  world: World,
  prefixes: readonly string[],
  mayLag: boolean,
): Generator<{ readonly found: string[]; readonly lagged: boolean }> {
  const lags = mayLag && prefixes.some((prefix) => canLag(world, prefix)) ? [false, true] : [false];
  for (const lagged of lags)
    yield { found: prefixes.flatMap((prefix) => list(world, prefix, lagged)), lagged };
}

export function* collectorSteps(
  world: World,
  i: number,
  plan: Of<"collector">,
  rules: Rules,
): Generator<Step> {
  const state = world.actors[i]!;
  const round = plan.rounds[state.done];
  const as: As = (kind, text, next) => ({ kind, text: `${plan.name} ${text}`, next });
  const stop = (w: World) => become(w, i, { ...forgets, at: "idle", done: state.done + 1 });
  switch (state.at) {
    case "idle": {
      if (round === undefined) return;
      const floor = newestFloor(world);
      const head = Math.max(...list(world, "commits/", false).map(numberIn));
      // Nobody waits for a commit that is not there; the round may come later.
      if (round.to > head) return;
      if (round.to < floor.lsn)
        yield as("skip", `finds floor ${floor.n} higher than LSN ${round.to}`, stop(world));
      else {
        const keep = round.keep.filter((lsn) => lsn < round.to && rules.obtainable(world, floor, lsn));
        const left = [...keep, round.to];
        const next = become(world, i, { at: rules.announces ? "completing" : "pins", floor, left, made: [] });
        yield as(
          "begin",
          `begins under floor ${floor.n} to raise it to LSN ${round.to} keeping ${keep.join()}`,
          next,
        );
      }
      return;
    }
    case "completing":
    case "completing more": {
      const rewrites = round?.rewrites === true && state.at === "completing";
      if (state.left!.length > 0) yield* completeNext(world, i, plan.name, rules, as, stop, rewrites);
      else if (rules.announces && state.at === "completing") yield* announce(world, i, as, stop);
      else yield* raise(world, i, { lsn: round!.to, checkpoints: state.made! }, rules, as, stop);
      return;
    }
    case "pins":
      for (const { found, lagged } of listings(world, pinPrefixes, rules.pinsLag)) {
        const known = [...state.made!.map(numberIn), ...state.left!];
        const pinned = found.filter((pin) => rules.heeds(pin, round!.to)).map(pinnedBy);
        const more = [...new Set(pinned)].filter(
          (lsn) => !known.includes(lsn) && rules.obtainable(world, state.floor!, lsn),
        );
        const next = become(world, i, { at: "completing more", left: [...more, ...state.left!] });
        yield as(
          "list pins",
          `finds pins of ${pinned.join()}${lagged ? " in a listing that lags" : ""}`,
          next,
        );
      }
  }
}

/** Makes sure of the next LSN that is to be kept. */
function* completeNext(
  world: World,
  i: number,
  name: string,
  rules: Rules,
  as: As,
  stop: (world: World) => World,
  rewrites: boolean,
): Generator<Step> {
  const state = world.actors[i]!;
  const [lsn, ...left] = state.left!;
  // What only an older floor names may be going.
  const known = rules
    .inheritsFrom(world, state.floor!)
    .find((key) => numberIn(key) === lsn && isComplete(world, key));
  const anew = known === undefined || (rewrites && lsn! <= state.floor!.lsn);
  const made = anew
    ? complete(world, lsn!, state.floor!, name, rules, known !== undefined)
    : { world, key: known };
  if (made === undefined) yield as("gone", `finds LSN ${lsn} gone`, stop(world));
  else {
    const all = [...state.made!, made.key].sort((a, b) => numberIn(a) - numberIn(b));
    yield as("complete", `has ${made.key}`, become(made.world, i, { left, made: all }));
  }
}

/** Registers what was made so far, and says that the floor is going to be raised: a pin that nobody would list now makes its maker replace this floor. */
function* announce(world: World, i: number, as: As, stop: (world: World) => World): Generator<Step> {
  const { floor: before, made } = world.actors[i]!;
  const n = before!.n + 1;
  if (world.objects.has(keys.floor(n))) {
    yield as("beaten", `finds floor ${n} taken`, stop(world));
    return;
  }
  const others = before!.checkpoints.filter((key) => !made!.some((each) => numberIn(each) === numberIn(key)));
  const checkpoints = [...others, ...made!].sort((a, b) => numberIn(a) - numberIn(b));
  const floor: Floor = { n, lsn: before!.lsn, checkpoints, announces: true };
  const announced = put(world, keys.floor(n), { is: "floor", floor });
  yield as(
    "announce",
    `makes floor ${n}, which says that it will be raised`,
    become(announced, i, { at: "pins", floor }),
  );
}

function isComplete(world: World, key: string): boolean {
  const checkpoint = checkpointAt(world, key);
  if (checkpoint === undefined) return false;
  return Object.keys(writersAt(world.log, checkpoint.lsn)).every(
    (page) => checkpoint.places[page as Page] !== undefined,
  );
}

/** Copies what the floor's checkpoints place nowhere, or everything; answers a checkpoint that places every page, or undefined where something is gone. */
function complete(
  world: World,
  lsn: number,
  floor: Floor,
  name: string,
  rules: Rules,
  all: boolean,
): { readonly world: World; readonly key: string } | undefined {
  const places: Checkpoint["places"] = {};
  const own = keys.compacted(floor.n, `${name}${lsn}`);
  let copied = false;
  for (const [page, writer] of Object.entries(writersAt(world.log, lsn)) as [Page, number][]) {
    const from = placeOf(world, page, writer, rules.lookup);
    if (from === undefined) return undefined;
    // What lies in a segment stays there; what lies in a commit that may go is copied.
    const stays = from.startsWith("segments/") ? from : undefined;
    const kept = all ? undefined : (placedBy(world, rules.inheritsFrom(world, floor), page, writer) ?? stays);
    if (kept === undefined && !rules.complete) continue;
    places[page] = kept ?? own;
    copied ||= kept === undefined;
  }
  const checkpoint = { lsn, under: floor.n, places };
  const key = keys.checkpoint(checkpoint);
  const copies = copied ? put(world, own, { is: "segment" }) : world;
  return { world: put(copies, key, { is: "checkpoint", checkpoint }), key };
}

function placedBy(
  world: World,
  checkpoints: readonly string[],
  page: Page,
  writer: number,
): string | undefined {
  for (const key of checkpoints) {
    const checkpoint = checkpointAt(world, key);
    if (checkpoint === undefined || writersAt(world.log, checkpoint.lsn)[page] !== writer) continue;
    if (checkpoint.places[page] !== undefined) return checkpoint.places[page];
  }
  return undefined;
}

/** Creates the floor after the one that it began under. */
function* raise(
  world: World,
  i: number,
  { lsn, checkpoints }: { readonly lsn: number; readonly checkpoints: readonly string[] },
  rules: Rules,
  as: As,
  stop: (world: World) => World,
): Generator<Step> {
  const before = world.actors[i]!.floor!;
  const n = rules.startsAgain ? before.n + 1 : newestFloor(world).n + 1;
  if (world.objects.has(keys.floor(n))) {
    yield as("beaten", `finds floor ${n} taken`, stop(world));
    return;
  }
  const raised = put(world, keys.floor(n), { is: "floor", floor: { n, lsn, checkpoints } });
  yield as("raise", `makes floor ${n}: from LSN ${lsn} on, ${checkpoints.join(", ")}`, stop(raised));
}

export function* compactorSteps(
  world: World,
  i: number,
  plan: Of<"compactor">,
  rules: Rules,
): Generator<Step> {
  const state = world.actors[i]!;
  const as: As = (kind, text, next) => ({ kind, text: `${plan.name} ${text}`, next });
  const stop = (w: World) => become(w, i, { ...forgets, at: "idle", done: state.done + 1 });
  const lsn = plan.at[state.done];
  if (lsn === undefined) return;
  switch (state.at) {
    case "idle": {
      const floor = newestFloor(world);
      if (lsn > world.log.length) return;
      if (lsn < floor.lsn) yield as("skip", `finds LSN ${lsn} below floor ${floor.n}`, stop(world));
      else yield as("begin", `begins under floor ${floor.n}`, become(world, i, { at: "copying", floor }));
      return;
    }
    case "copying": {
      const writers = Object.entries(writersAt(world.log, lsn)) as [Page, number][];
      const gone = writers.some(([page, writer]) => placeOf(world, page, writer, rules.lookup) === undefined);
      const own = keys.compacted(state.floor!.n, `${plan.name}${lsn}`);
      if (gone) yield as("gone", `finds LSN ${lsn} gone`, stop(world));
      else
        yield as(
          "copy",
          `copies LSN ${lsn} into ${own}`,
          become(put(world, own, { is: "segment" }), i, { at: "placing" }),
        );
      return;
    }
    case "placing": {
      const own = keys.compacted(state.floor!.n, `${plan.name}${lsn}`);
      const pages = Object.keys(writersAt(world.log, lsn)) as Page[];
      const places = Object.fromEntries(pages.map((page) => [page, own]));
      const checkpoint = { lsn, under: state.floor!.n, places };
      const key = keys.checkpoint(checkpoint);
      const placed = put(world, key, { is: "checkpoint", checkpoint });
      yield as("place", `puts ${key}`, become(placed, i, { at: "registering", made: [key] }));
      return;
    }
    case "registering": {
      // What it compacted anew takes the place of the floor's own checkpoint of that LSN, and of older ones above the floor.
      const others = state.floor!.checkpoints.filter(
        (key) => numberIn(key) > lsn || (numberIn(key) <= state.floor!.lsn && numberIn(key) !== lsn),
      );
      const checkpoints = [...others, ...state.made!].sort((a, b) => numberIn(a) - numberIn(b));
      yield* raise(world, i, { lsn: state.floor!.lsn, checkpoints }, rules, as, stop);
    }
  }
}

export function* sweeperSteps(world: World, i: number, plan: Of<"sweeper">, rules: Rules): Generator<Step> {
  const state = world.actors[i]!;
  const as: As = (kind, text, next) => ({ kind, text: `${plan.name} ${text}`, next });
  const stop = (w: World) => become(w, i, { ...forgets, at: "idle", done: state.done + 1 });
  switch (state.at) {
    case "idle": {
      if (state.done >= plan.sweeps || newestFloor(world).n === 0) return;
      const floors = rules.sweepFloors(world);
      const next = become(world, i, { floors, at: "planning" });
      yield as("floors", `finds floors ${floors.map(({ n }) => n).join()} in force`, next);
      return;
    }
    case "planning": {
      // What a floor names may be gone where it was passed meanwhile.
      if (rules.looksAgain && newestFloor(world).n !== state.floors![0]!.n) {
        yield as("moved", "finds that the floor has moved", become(world, i, { ...forgets, at: "idle" }));
        return;
      }
      const keys = new Set(state.floors!.flatMap((floor) => floor.checkpoints));
      const named = [...keys].filter((key) => checkpointAt(world, key) !== undefined);
      yield as(
        "protect",
        `knows what ${named.join(", ")} need`,
        become(world, i, { at: "listing", named: named.map((key) => checkpointAt(world, key)!) }),
      );
      return;
    }
    case "listing": {
      for (const { found, lagged } of listings(world, [""], true)) {
        const doomed = rules.garbage(viewOf(world, state.floors!, state.named!, found));
        const next =
          doomed.length === 0 ? stop(world) : become(world, i, { ...forgets, at: "deleting", doomed });
        yield as(
          "doom",
          `is going to delete ${doomed.join(", ")}${lagged ? " by a listing that lags" : ""}`,
          next,
        );
      }
      return;
    }
    case "deleting": {
      const [key, ...doomed] = state.doomed!;
      const gone = remove(world, key!);
      yield as("delete", `deletes ${key}`, doomed.length === 0 ? stop(gone) : become(gone, i, { doomed }));
    }
  }
}

function viewOf(
  world: World,
  floors: readonly Floor[],
  named: readonly Checkpoint[],
  listed: readonly string[],
) {
  const checkpoints = new Map<string, Checkpoint>(named.map((each) => [keys.checkpoint(each), each]));
  for (const key of listed) {
    const checkpoint = checkpointAt(world, key);
    if (checkpoint !== undefined) checkpoints.set(key, checkpoint);
  }
  const commits = new Map(
    listed.flatMap((key) => {
      const commit = key.startsWith("commits/") ? commitAt(world, numberIn(key)) : undefined;
      return commit === undefined ? [] : [[commit.lsn, commit] as const];
    }),
  );
  return { floors, checkpoints, commits, listed };
}
