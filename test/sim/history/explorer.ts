/**
 * Every interleaving of collectors, sweepers, compactors, forkers and pushers of one volume over a toy store, breadth first, so that the first violation
 * comes with a shortest trace. Each of them may sleep between any two requests for longer than a grace period; listings lag for up to one.
 */
import { type ActorState, firstState, type Plan, type Step, stepsOf } from "./actors.ts";
import { type Rules, realRules } from "./rules.ts";
import {
  checkpointAt,
  commitAt,
  floorsInForce,
  keys,
  missingOf,
  newestFloor,
  numberIn,
  opens,
  type Page,
  pass,
  pinnedBy,
  put,
  type World,
} from "./world.ts";

export interface Scenario {
  /** Which pages the commits wrote that are there from the beginning; those in lower case in a segment of their own. */
  readonly log: string;
  /** What these do is done, one after the other, before the others begin. */
  readonly before?: readonly Plan[];
  readonly actors: readonly Plan[];
  /** The search goes no further than so many steps; default: to the end. */
  readonly depth?: number;
}

export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** Steps of the longest shortest way to a state. */
  readonly depth: number;
  readonly kinds: ReadonlyMap<string, number>;
  readonly violation?: { readonly problem: string; readonly trace: readonly string[] };
}

const MAX_STATES = 1_500_000;

export function exploreHistory(scenario: Scenario, rules: Rules = realRules): Exploration {
  const start = startOf(scenario, rules);
  const seen = new Set([keyOf(start)]);
  const cameBy: { readonly from: number; readonly text: string }[] = [{ from: -1, text: "start" }];
  const kinds = new Map<string, number>();
  let level: { readonly world: World; readonly index: number }[] = [{ world: start, index: 0 }];
  const kept = new WeakMap<object, string>();
  let transitions = 0;
  let depth = 0;
  const result = (problem?: string, trace: readonly string[] = []): Exploration => ({
    ...{ states: seen.size, transitions, depth, kinds },
    ...(problem === undefined ? {} : { violation: { problem, trace } }),
  });
  while (level.length > 0 && depth < (scenario.depth ?? Number.POSITIVE_INFINITY)) {
    const next: typeof level = [];
    for (const { world, index } of level) {
      for (const step of stepsFrom(world, scenario, rules)) {
        transitions++;
        kinds.set(step.kind, (kinds.get(step.kind) ?? 0) + 1);
        const key = keyOf(step.next);
        if (seen.has(key)) continue;
        seen.add(key);
        cameBy.push({ from: index, text: step.text });
        const reached = cameBy.length - 1;
        const problem = complaint(step.next, rules, kept);
        if (problem !== undefined) return result(problem, traceTo(cameBy, reached));
        if (seen.size > MAX_STATES) return result("more states than expected: the search does not end");
        next.push({ world: step.next, index: reached });
      }
    }
    level = next;
    if (level.length > 0) depth++;
  }
  return result();
}

function startOf({ log, before = [], actors }: Scenario, rules: Rules): World {
  let world: World = { objects: new Map(), log: [], actors: [] };
  for (const [n, letter] of [...log].entries()) {
    const lsn = n + 1;
    const page = letter.toUpperCase() as Page;
    const segment = letter === page ? {} : { segment: keys.segment(lsn, `w${lsn}`) };
    if (segment.segment !== undefined) world = put(world, segment.segment, { is: "segment" });
    const on = world.log.at(-1)?.id ?? "";
    const commit = { id: `w${lsn}`, lsn, on, writes: [page], ...segment };
    world = put(world, keys.commit(lsn), { is: "commit", commit });
  }
  for (const plan of before) {
    world = { ...world, actors: [firstState(plan, world.log)] };
    for (let step = first(world, plan); step !== undefined; step = first(world, plan)) world = step.next;
  }
  return pass({ ...world, actors: actors.map((plan) => firstState(plan, world.log)) });

  function first(at: World, plan: Plan): Step | undefined {
    return stepsOf(at, 0, plan, rules).next().value ?? undefined;
  }
}

function* stepsFrom(world: World, { actors }: Scenario, rules: Rules): Generator<Step> {
  yield { kind: "pass", text: "a grace period passes", next: pass(world) };
  for (const [i, plan] of actors.entries()) yield* stepsOf(world, i, plan, rules);
}

/** What is wrong with a state; undefined where all is well. */
function complaint(world: World, rules: Rules, kept: WeakMap<object, string>): string | undefined {
  // Of what is stored alone, which many states share.
  let ofObjects = kept.get(world.objects);
  if (ofObjects === undefined) {
    ofObjects = storedComplaint(world) ?? floorComplaint(world) ?? keptComplaint(world, rules) ?? "";
    kept.set(world.objects, ofObjects);
  }
  return ofObjects !== "" ? ofObjects : (toldComplaint(world) ?? promiseComplaint(world, rules));
}

function storedComplaint(world: World): string | undefined {
  const floor = newestFloor(world);
  for (const { lsn, id, segment } of world.log.slice(Math.max(floor.lsn, 1) - 1)) {
    if (commitAt(world, lsn)?.id !== id)
      return `invariant 9: commit ${lsn} is gone though the floor is at ${floor.lsn}`;
    if (segment !== undefined && !world.objects.has(segment))
      return `invariant 9: commit ${lsn} names ${segment}, which was collected`;
  }
  return undefined;
}

/** Nobody was told, or stands on, what is not in the log. */
function toldComplaint(world: World): string | undefined {
  const ids = new Set(world.log.map(({ id }) => id));
  for (const { acknowledged, base } of world.actors) {
    for (const id of acknowledged) {
      if (!id.startsWith("forks/") && !ids.has(id))
        return `invariant 9: ${id} was acknowledged at an LSN that had been collected`;
    }
    if (base !== undefined && !ids.has(base.id))
      return `invariant 4: somebody stands on ${base.id}, which is not in the log`;
  }
  return undefined;
}

/** A floor names only what is there. */
function floorComplaint(world: World): string | undefined {
  const floor = newestFloor(world);
  for (const key of floor.checkpoints) {
    const checkpoint = checkpointAt(world, key);
    if (checkpoint === undefined) return `invariant 9: floor ${floor.n} names ${key}, which is gone`;
    const gone = Object.values(checkpoint.places).find((place) => !world.objects.has(place));
    if (gone !== undefined) return `invariant 9: floor ${floor.n} names ${key}, and ${gone} is gone`;
  }
  return undefined;
}

/** What any floor kept within the grace period can be read: a snapshot may have been taken under it, by somebody who heard of no floor since. */
function keptComplaint(world: World, rules: Rules): string | undefined {
  const newest = newestFloor(world);
  for (const floor of floorsInForce(world)) {
    const lsns = [...floor.checkpoints.map(numberIn)];
    for (let lsn = Math.max(floor.lsn, 1); lsn <= world.log.length; lsn++) lsns.push(lsn);
    for (const lsn of lsns) {
      const missing = missingOf(world, lsn, rules.lookup);
      if (missing !== undefined)
        return `invariants 1 and 9: ${missing}, cannot be found, though floor ${floor.n} ${floor === newest ? "keeps" : "kept"} it`;
      if (floor === newest && !opens(world, lsn, floor))
        return `invariant 9: the page table of LSN ${lsn} cannot be loaded by floor ${floor.n}`;
    }
  }
  return undefined;
}

function promiseComplaint(world: World, rules: Rules): string | undefined {
  for (const { acknowledged } of world.actors) {
    for (const pin of acknowledged) {
      if (!pin.startsWith("forks/")) continue;
      const lsn = pinnedBy(pin);
      const missing = missingOf(world, lsn, rules.lookup);
      if (missing !== undefined) return `invariant 9: a fork needs ${missing}, which cannot be found`;
      if (!rules.lookup(world).some((floor) => opens(world, lsn, floor)))
        return `invariant 9: the page table of LSN ${lsn}, which a fork needs, cannot be loaded`;
    }
  }
  return undefined;
}

function keyOf({ objects, log, actors }: World): string {
  return `${once(objects, objectsKey)} ${once(log, logKey)} ${actors.map((state) => once(state, actorKey)).join()}`;
}

/** Parts of a state are shared with those that it came from: each is numbered once, and equal ones alike. */
const numbered = new WeakMap<object, number>();
const numbers = new Map<string, number>();

function once<T extends object>(part: T, key: (part: T) => string): number {
  let n = numbered.get(part);
  if (n === undefined) {
    const made = key(part);
    n = numbers.get(made) ?? numbers.size;
    numbers.set(made, n);
    numbered.set(part, n);
  }
  return n;
}

function objectsKey(objects: World["objects"]): string {
  const stored = [...objects].map(([key, { value, fresh }]) => {
    const mark = fresh ? "!" : "";
    if (value.is === "commit") return `${key}=${value.commit.id}${mark}`;
    if (value.is === "floor")
      return `${key}=${value.floor.lsn}:${value.floor.checkpoints.join()}${value.floor.announces ?? ""}${mark}`;
    return key + mark;
  });
  return stored.sort().join("\n");
}

function logKey(log: World["log"]): string {
  return log.map(({ id }) => id).join();
}

function actorKey(state: ActorState): string {
  return JSON.stringify(Object.entries(state).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function traceTo(
  cameBy: readonly { readonly from: number; readonly text: string }[],
  last: number,
): string[] {
  const trace: string[] = [];
  for (let at = last; at > 0; at = cameBy[at]!.from) trace.unshift(cameBy[at]!.text);
  return trace;
}
