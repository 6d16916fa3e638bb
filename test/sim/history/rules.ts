/**
 * The decisions of the history protocols, each of which a mutant may replace: what a pusher, forker, checkpointer, collector and sweeper conclude from
 * what they saw. The push machine, and whether a floor keeps an LSN, are the real ones; the others say in the toy store's words what docs/decisions/0019-history.md says.
 */
import type { Hash, Lsn, TimeMs, VolumeId } from "../../../src/base/brand.ts";
import type { Floor as RealFloor } from "../../../src/format/model.ts";
import { keepsLsn } from "../../../src/history/keep/rely.ts";
import * as push from "../../../src/replicate/push-machine.ts";
import {
  allFloors,
  type Checkpoint,
  type Commit,
  type Floor,
  floorsInForce,
  keeps,
  type Lookup,
  numberIn,
  pinnedBy,
  type World,
} from "./world.ts";

/** What a sweep saw when it was planned. */
export interface SweepView {
  /** In force, the newest first. */
  readonly floors: readonly Floor[];
  readonly checkpoints: ReadonlyMap<string, Checkpoint>;
  readonly commits: ReadonlyMap<number, Commit>;
  readonly listed: readonly string[];
}

export interface Rules {
  readonly pushAction: typeof push.pushAction;
  readonly pushNext: typeof push.pushNext;
  readonly recoveredPush: push.PushState;
  readonly whose: typeof push.whose;
  /** Where readers look for what is gone from its commit. */
  readonly lookup: Lookup;
  readonly pins: boolean;
  /** Forks and restores: the pin is created before the floor is asked for, not after. */
  readonly pinsFirst: boolean;
  /** Whether a fork or restore of an LSN may go on, by the floor that it asked for. */
  readonly goesOn: (floor: Floor, at: number) => boolean;
  /** Whether it has to replace that floor by one that announces nothing before it goes on. */
  readonly replaces: (floor: Floor) => boolean;
  /** Keys of checkpoints whose places a new one may take over. */
  readonly inheritsFrom: (world: World, floor: Floor) => readonly string[];
  /** Who finds the next floor taken starts again; a mutant makes the one after it. */
  readonly startsAgain: boolean;
  /** A floor is raised only with a checkpoint that places every page. */
  readonly complete: boolean;
  /** A collector announces that it is going to raise the floor before it lists the pins. */
  readonly announces: boolean;
  /** Listings of pins may lag. */
  readonly pinsLag: boolean;
  /** Whether a collection can still keep an LSN that somebody relies on. */
  readonly obtainable: (world: World, floor: Floor, lsn: number) => boolean;
  /** Whether a pin is heeded by who raises the floor to an LSN. */
  readonly heeds: (pin: string, to: number) => boolean;
  readonly sweepFloors: (world: World) => readonly Floor[];
  /** A sweep that has looked for what floors name asks whether the newest of them still is. */
  readonly looksAgain: boolean;
  readonly garbage: (view: SweepView) => readonly string[];
  /** Who follows the log by asking for the next commit also asks for the floor, afterwards. */
  readonly asksFloorOfHead: boolean;
}

export const realRules: Rules = {
  ...push,
  lookup: allFloors,
  pins: true,
  pinsFirst: true,
  goesOn: (floor, at) => keepsLsn(asFloor(floor), at as Lsn),
  replaces: ({ announces }) => announces === true,
  inheritsFrom: (_world, floor) => floor.checkpoints,
  startsAgain: true,
  complete: true,
  announces: true,
  pinsLag: false,
  obtainable: (_world, floor, lsn) => keeps(floor, lsn),
  // The commit that a restore makes has a checkpoint of its own once the floor is there.
  heeds: (pin, to) => pinnedBy(pin) < to && (pin.startsWith("forks/") || numberIn(pin) > to),
  sweepFloors: floorsInForce,
  looksAgain: true,
  garbage,
  asksFloorOfHead: true,
};

/** A floor of the toy store as the engine knows floors. */
function asFloor({ n, lsn, checkpoints }: Floor): RealFloor {
  const named = checkpoints.map((key) => ({
    lsn: numberIn(key) as Lsn,
    time: 0 as TimeMs,
    hash: key as Hash,
  }));
  return { volume: "toy" as VolumeId, n, lsn: lsn as Lsn, time: 0 as TimeMs, checkpoints: named };
}

function garbage({ floors, checkpoints, commits, listed }: SweepView): string[] {
  const lowest = Math.min(...floors.map(({ lsn }) => lsn));
  const named = new Set(floors.flatMap((floor) => floor.checkpoints));
  const isProtected = (key: string) => named.has(key) || numberIn(key) >= lowest;
  const placed = new Set<string>();
  for (const [key, { places }] of checkpoints) {
    if (named.has(key)) for (const place of Object.values(places)) placed.add(place);
  }
  return listed.filter((key) => {
    const n = numberIn(key);
    switch (key.slice(0, key.indexOf("/"))) {
      case "commits":
        return n < lowest;
      case "checkpoints":
        return !isProtected(key) && checkpoints.get(key)!.under < floors[0]!.n;
      case "segments":
        if (n < lowest) return !placed.has(key);
        return commits.has(n) && commits.get(n)!.segment !== key;
      case "compacted":
        return !placed.has(key) && n < floors[0]!.n;
      case "restores":
        return n < lowest;
      default:
        return false;
    }
  });
}
