/**
 * The toy store of the history explorer: a volume of two pages, its log, checkpoints, floors and pins as objects with keys, and what a reader that
 * follows the rules finds there. Time is one bit: an object is fresh until a grace period has passed since it was created.
 */
import type { ActorState } from "./actors.ts";

export type Page = "A" | "B";
export const PAGES: readonly Page[] = ["A", "B"];
/** Who wrote each page last; a page that nobody wrote is absent. */
export type Writers = Partial<Record<Page, number>>;

export interface Commit {
  /** Stands for its bytes: unique among all that were ever made. */
  readonly id: string;
  readonly lsn: number;
  /** The id of its parent. */
  readonly on: string;
  readonly writes: readonly Page[];
  /** Pages that went back to what an older commit wrote. */
  readonly restores?: Writers;
  /** Key of the segment that holds what it wrote; without one that is in the commit itself. */
  readonly segment?: string;
}

export interface Checkpoint {
  readonly lsn: number;
  /** Number of the floor that held when it was made. */
  readonly under: number;
  /** Which segment holds a page; a page without a place is read from its writer. */
  readonly places: Partial<Record<Page, string>>;
}

export interface Floor {
  readonly n: number;
  /** Commits below it may be gone. */
  readonly lsn: number;
  /** Keys of checkpoints. */
  readonly checkpoints: readonly string[];
  /** It says that somebody lists pins and will raise it: whoever pins something now has to replace it. */
  readonly announces?: true;
}

/** Before the first floor everything is kept. */
export const noFloor: Floor = { n: 0, lsn: 0, checkpoints: [] };

export type Value =
  | { readonly is: "commit"; readonly commit: Commit }
  | { readonly is: "segment" | "pin" | "manifest" }
  | { readonly is: "checkpoint"; readonly checkpoint: Checkpoint }
  | { readonly is: "floor"; readonly floor: Floor };

export interface Stored {
  readonly value: Value;
  /** Created since the last grace period ended; a listing may not show it yet. */
  readonly fresh: boolean;
}

export interface World {
  readonly objects: ReadonlyMap<string, Stored>;
  /** The log as it really is, by LSN - 1: the first commit of every LSN. Outside of the system. */
  readonly log: readonly Commit[];
  readonly actors: readonly ActorState[];
}

export const keys = {
  commit: (lsn: number) => `commits/${lsn}`,
  segment: (lsn: number, id: string) => `segments/${lsn}-${id}`,
  compacted: (n: number, id: string) => `compacted/${n}-${id}`,
  checkpoint: ({ lsn, under, places }: Checkpoint) =>
    `checkpoints/${lsn}.${under}-${PAGES.map((p) => places[p] ?? "").join("+")}`,
  floor: (n: number) => `floor/${n}`,
  fork: (name: string, lsn: number) => `forks/${name}@${lsn}`,
  restore: (lsn: number, from: number) => `restores/${lsn}@${from}`,
  manifest: (name: string) => `manifests/${name}`,
};

const numbers = new Map<string, number>();

/** The first number in a key: an LSN, or the number of a floor. */
export function numberIn(key: string): number {
  let n = numbers.get(key);
  if (n === undefined) {
    n = Number.parseInt(key.slice(key.indexOf("/") + 1), 10);
    numbers.set(key, n);
  }
  return n;
}

/** The LSN that a pin keeps. */
export function pinnedBy(key: string): number {
  return Number(key.slice(key.indexOf("@") + 1));
}

/** Created if absent. */
export function put(world: World, key: string, value: Value): World {
  if (world.objects.has(key)) return world;
  const objects = new Map(world.objects).set(key, { value, fresh: true });
  if (value.is !== "commit") return { ...world, objects };
  const { commit } = value;
  const extends_ = world.log.length === commit.lsn - 1 && (world.log.at(-1)?.id ?? "") === commit.on;
  return { ...world, objects, log: extends_ ? [...world.log, commit] : world.log };
}

export function remove(world: World, key: string): World {
  if (!world.objects.has(key)) return world;
  const objects = new Map(world.objects);
  objects.delete(key);
  return { ...world, objects };
}

/** Longer than a grace period goes by, in which nobody does anything. */
export function pass(world: World): World {
  if (!canLag(world, "")) return world;
  const objects = new Map([...world.objects].map(([key, { value }]) => [key, { value, fresh: false }]));
  return { ...world, objects };
}

export function commitAt(world: World, lsn: number): Commit | undefined {
  const value = world.objects.get(keys.commit(lsn))?.value;
  return value?.is === "commit" ? value.commit : undefined;
}

export function checkpointAt(world: World, key: string): Checkpoint | undefined {
  const value = world.objects.get(key)?.value;
  return value?.is === "checkpoint" ? value.checkpoint : undefined;
}

export function floorAt(world: World, n: number): Floor | undefined {
  const value = world.objects.get(keys.floor(n))?.value;
  return value?.is === "floor" ? value.floor : undefined;
}

export function newestFloor(world: World): Floor {
  return allFloors(world)[0]!;
}

/** Floors that were the newest at any time within the grace period, the newest first. */
export function floorsInForce(world: World): Floor[] {
  let n = newestFloor(world).n;
  const inForce = [floorAt(world, n) ?? noFloor];
  while (n > 0 && world.objects.get(keys.floor(n))!.fresh) {
    n--;
    inForce.push(floorAt(world, n) ?? noFloor);
  }
  return inForce;
}

/** Keys with a prefix. One that lags does not show what is fresh. */
export function list(world: World, prefix: string, lags: boolean): string[] {
  return [...world.objects]
    .filter(([key, { fresh }]) => key.startsWith(prefix) && !(lags && fresh))
    .map(([key]) => key);
}

/** Whether a listing can lag: there is something fresh that it would show. */
export function canLag(world: World, prefix: string): boolean {
  return [...world.objects].some(([key, { fresh }]) => fresh && key.startsWith(prefix));
}

const writersKnown = new WeakMap<readonly Commit[], Writers[]>();

/** Who wrote the pages of a state last. */
export function writersAt(log: readonly Commit[], lsn: number): Writers {
  const known = writersKnown.get(log) ?? [];
  writersKnown.set(log, known);
  known[lsn] ??= findWriters(log, lsn);
  return known[lsn];
}

function findWriters(log: readonly Commit[], lsn: number): Writers {
  const writers: Writers = {};
  for (const commit of log.slice(0, lsn)) {
    for (const page of commit.writes) writers[page] = commit.lsn;
    Object.assign(writers, commit.restores);
  }
  return writers;
}

/** Whether a floor keeps the state of an LSN. */
export function keeps({ lsn, checkpoints }: Floor, at: number): boolean {
  return at >= lsn || checkpoints.some((key) => numberIn(key) === at);
}

/** Floors in which readers look for what is gone from its commit: the newest first. */
export type Lookup = (world: World) => readonly Floor[];

const floorsKnown = new WeakMap<World["objects"], readonly Floor[]>();

/** The newest floor, then those before it. */
export const allFloors: Lookup = (world) => {
  let floors = floorsKnown.get(world.objects);
  if (floors === undefined) {
    const found = [noFloor];
    for (let n = 1; ; n++) {
      const floor = floorAt(world, n);
      if (floor === undefined) break;
      found.unshift(floor);
    }
    floors = found;
    floorsKnown.set(world.objects, floors);
  }
  return floors;
};

/** A segment that holds what `writer` wrote to `page`, or the commit; undefined where nothing that readers find does. */
export function placeOf(world: World, page: Page, writer: number, lookup: Lookup): string | undefined {
  const commit = commitAt(world, writer);
  // Another commit of that LSN is not the one that was meant: its hash differs.
  if (commit !== undefined && commit.id === world.log[writer - 1]?.id) {
    const place = commit.segment ?? keys.commit(writer);
    if (world.objects.has(place)) return place;
  }
  for (const floor of lookup(world)) {
    for (const key of floor.checkpoints) {
      const checkpoint = checkpointAt(world, key);
      if (checkpoint === undefined || writersAt(world.log, checkpoint.lsn)[page] !== writer) continue;
      const place = checkpoint.places[page];
      if (place !== undefined && world.objects.has(place)) return place;
    }
  }
  return undefined;
}

/** What of a state cannot be read; undefined where everything can. */
export function missingOf(world: World, lsn: number, lookup: Lookup): string | undefined {
  for (const [page, writer] of Object.entries(writersAt(world.log, lsn)) as [Page, number][]) {
    if (placeOf(world, page, writer, lookup) === undefined)
      return `page ${page} of LSN ${lsn}, written by commit ${writer}`;
  }
  return undefined;
}

/** Whether the page table of an LSN can be loaded from a floor's checkpoint and the commits above it. */
export function opens(world: World, lsn: number, floor: Floor): boolean {
  const starts = floor.checkpoints.filter((key) => checkpointAt(world, key) !== undefined).map(numberIn);
  if (floor.lsn === 0) starts.push(0);
  const start = Math.max(...starts.filter((at) => at <= lsn));
  if (start === Number.NEGATIVE_INFINITY) return false;
  for (let at = start + 1; at <= lsn; at++)
    if (commitAt(world, at)?.id !== world.log[at - 1]?.id) return false;
  return true;
}
