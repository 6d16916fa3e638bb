/** Who meets whom in the history explorer. Small, so that each is searched to its end in about a second. */
import type { Plan, PusherPlan } from "./actors.ts";
import type { Scenario } from "./explorer.ts";

type Rest<P> = Omit<P, "is" | "name">;
const pusher = (name: string, rest: Rest<PusherPlan>): Plan => ({ is: "pusher", name, ...rest });
/** Each round: the LSN of the floor, and the LSNs below it that stay. */
const collector = (name: string, ...rounds: (readonly number[])[]): Plan => ({
  is: "collector",
  name,
  rounds: rounds.map(([to, ...keep]) => ({ to: to!, keep })),
});
const rewriter = (name: string, to: number, ...keep: number[]): Plan => ({
  is: "collector",
  name,
  rounds: [{ to, keep, rewrites: true }],
});
const sweeper = (name: string, sweeps = 1): Plan => ({ is: "sweeper", name, sweeps });
const compactor = (name: string, ...at: number[]): Plan => ({ is: "compactor", name, at });
const forker = (name: string, from: number): Plan => ({ is: "forker", name, from });

export const scenarios: Record<string, Scenario> = {
  "a pusher that slept": {
    log: "ABAB",
    actors: [
      collector("c", [3], [4]),
      sweeper("s"),
      pusher("p", { on: 2, pushes: 1, writes: "A", large: true, lossy: true }),
    ],
  },
  "pushes while the floor rises": {
    log: "Ab",
    actors: [
      collector("c", [3]),
      sweeper("s"),
      pusher("p", { on: 2, pushes: 1, writes: "A", large: true }),
      pusher("q", { on: 2, pushes: 1, writes: "B", large: true }),
    ],
  },
  "a fork of what is dropped": {
    log: "ABBA",
    actors: [collector("c", [3, 2], [4]), sweeper("s"), forker("f", 2)],
  },
  "a restore of what is dropped": {
    log: "ABa",
    actors: [
      collector("c", [2, 1], [3]),
      sweeper("s"),
      pusher("p", { on: 3, pushes: 1, writes: "A", restores: 1 }),
    ],
  },
  "two sweepers, one of which slept": {
    log: "aBAb",
    actors: [collector("c", [3, 2], [4]), sweeper("s"), sweeper("t")],
  },
  "segments that stay where they are": {
    log: "abA",
    actors: [
      collector("c", [2], [3]),
      pusher("p", { on: 3, pushes: 1, writes: "A", checkpoints: true }),
      sweeper("s"),
    ],
  },
  "compaction beside collection": {
    log: "aB",
    actors: [collector("c", [2]), compactor("k", 2), sweeper("s"), sweeper("t")],
  },
  "kept states that are written anew": {
    log: "ABaB",
    before: [collector("c", [3, 1])],
    actors: [rewriter("d", 4, 1, 3), sweeper("s"), sweeper("t")],
  },
  "what a compaction superseded": {
    log: "ABA",
    before: [collector("c", [1]), compactor("j", 2)],
    actors: [compactor("k", 3), collector("d", [2]), sweeper("s"), sweeper("t")],
  },
  "pushers that ask for the next commit": {
    log: "ABAB",
    actors: [
      collector("c", [4]),
      sweeper("s"),
      pusher("p", { on: 1, pushes: 1, writes: "A" }),
      pusher("q", { on: 1, pushes: 1, writes: "B", pulls: 1, finds: "by asking" }),
    ],
  },
  "a push that the floor passes": {
    log: "A",
    actors: [
      collector("c", [3]),
      sweeper("s"),
      pusher("p", { on: 1, pushes: 1, writes: "A" }),
      pusher("q", { on: 1, pushes: 1, writes: "B", pulls: 1, finds: "by listing" }),
    ],
  },
  "pushers that list the log": {
    log: "ABAB",
    actors: [
      collector("c", [4]),
      sweeper("s"),
      pusher("p", { on: 1, pushes: 1, writes: "A" }),
      pusher("q", { on: 1, pushes: 1, writes: "B", pulls: 1, finds: "by listing" }),
    ],
  },
};

/** Larger ones, on demand; and those that only a mutant needs. */
export const more: Record<string, Scenario> = {
  "a late pin": {
    log: "ABBA",
    actors: [collector("c", [3]), collector("d", [4]), sweeper("s"), forker("f", 2)],
  },
  "a checkpoint written under an old floor": {
    log: "AB",
    before: [collector("c", [2])],
    actors: [
      collector("d", [3]),
      compactor("k", 3),
      sweeper("s"),
      pusher("p", { on: 2, pushes: 1, writes: "A", checkpoints: true }),
    ],
  },
  "kept states that are written anew, and forked": {
    log: "ABaB",
    before: [collector("c", [3, 1])],
    actors: [rewriter("d", 4, 1, 3), sweeper("s"), sweeper("t"), forker("f", 3)],
  },
  "a pusher at the head, twice": {
    log: "ABa",
    actors: [
      collector("c", [3], [4]),
      sweeper("s"),
      pusher("p", { on: 3, pushes: 2, writes: "A", large: true, lossy: true }),
    ],
  },
  "two collectors": {
    log: "aBAb",
    actors: [collector("c", [3, 2]), collector("d", [4, 3]), sweeper("s"), sweeper("t")],
  },
  "compaction twice": {
    log: "aBA",
    actors: [collector("c", [2], [3]), compactor("k", 2, 3), sweeper("s", 2)],
  },
  "a fork and a restore": {
    log: "ABBA",
    actors: [
      collector("c", [3, 2], [4]),
      sweeper("s"),
      forker("f", 2),
      pusher("p", { on: 4, pushes: 1, writes: "A", restores: 3 }),
    ],
  },
  "a restore of what a slow compaction copies": {
    log: "ABA",
    actors: [
      collector("c", [3, 1], [4]),
      compactor("k", 3),
      sweeper("s"),
      pusher("p", { on: 3, pushes: 1, writes: "A", restores: 1 }),
    ],
  },
};
