/** Forkers, and what they share with restorers: they pin an old LSN, and then ask for the floor. */
import { become, type Plan, type Step } from "./actors.ts";
import type { Rules } from "./rules.ts";
import { keys, newestFloor, put, remove, type World } from "./world.ts";

type As = (kind: string, text: string, next: World) => Step;

/** What rests on an old LSN: pinned first, then the floor is asked for, and replaced where it announces that it will be raised. */
interface Reliance {
  readonly name: string;
  readonly pin: string;
  readonly lsn: number;
  /** Where it goes on. */
  readonly next: string;
  /** What it forgets where the LSN is not kept. */
  readonly otherwise: Parameters<typeof become>[2];
}

export function* relianceSteps(
  world: World,
  i: number,
  { name, pin, lsn, next, otherwise }: Reliance,
  rules: Rules,
): Generator<Step> {
  const state = world.actors[i]!;
  const as: As = (kind, text, next) => ({ kind, text: `${name} ${text}`, next });
  switch (state.at) {
    case "pinning": {
      const pinned = rules.pins ? put(world, pin, { is: "pin" }) : world;
      yield as("pin", `pins LSN ${lsn}`, become(pinned, i, { at: rules.pinsFirst ? "asking" : next }));
      return;
    }
    case "asking": {
      const floor = newestFloor(world);
      if (!rules.goesOn(floor, lsn)) {
        yield as(
          "not kept",
          `finds LSN ${lsn} below floor ${floor.n}`,
          become(remove(world, pin), i, { at: "idle", ...otherwise }),
        );
      } else if (rules.replaces(floor)) {
        yield as(
          "ask after pin",
          `finds LSN ${lsn} kept by floor ${floor.n}, which is to be raised`,
          become(world, i, { at: "replacing", floor }),
        );
      } else {
        yield as(
          "ask after pin",
          `finds LSN ${lsn} kept by floor ${floor.n}`,
          become(world, i, { at: rules.pinsFirst ? next : "pinning" }),
        );
      }
      return;
    }
    case "replacing": {
      const { announces: _, ...before } = state.floor!;
      const n = before.n + 1;
      if (world.objects.has(keys.floor(n))) {
        yield as("beaten", `finds floor ${n} taken`, become(world, i, { at: "asking", floor: undefined }));
        return;
      }
      const replaced = put(world, keys.floor(n), { is: "floor", floor: { ...before, n } });
      yield as(
        "replace",
        `makes floor ${n}, which announces nothing`,
        become(replaced, i, { at: next, floor: undefined }),
      );
    }
  }
}

export function* forkerSteps(
  world: World,
  i: number,
  { name, from }: Extract<Plan, { is: "forker" }>,
  rules: Rules,
): Generator<Step> {
  const state = world.actors[i]!;
  const pin = keys.fork(name, from);
  if (state.at === "idle") {
    if (state.done > 0) return;
    const next = become(world, i, { at: rules.pinsFirst ? "pinning" : "asking", done: 1 });
    yield { kind: "begin fork", text: `${name} begins to fork at LSN ${from}`, next };
  } else if (state.at === "naming") {
    const named = become(put(world, keys.manifest(name), { is: "manifest" }), i, {
      at: "idle",
      acknowledged: [pin],
    });
    yield { kind: "fork", text: `${name} is the fork of LSN ${from}`, next: named };
  } else {
    yield* relianceSteps(world, i, { name, pin, lsn: from, next: "naming", otherwise: {} }, rules);
  }
}
