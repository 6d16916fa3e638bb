/** Protocols that are wrong in one way, and what a search says of them. */
import type { PushState } from "../../../src/replicate/push-machine.ts";
import { type Rules, realRules, type SweepView } from "./rules.ts";
import { list, missingOf, newestFloor, numberIn } from "./world.ts";

export interface Mutant {
  readonly rules: Partial<Rules>;
  /** The scenario in which it goes wrong. */
  readonly in: string;
  readonly finds: RegExp;
  /** It takes long to be found. */
  readonly long?: true;
}

/** A sweep that also takes what `more` says. */
const sweepAlso = (more: (key: string, view: SweepView) => boolean): Partial<Rules> => ({
  garbage: (view) => view.listed.filter((key) => realRules.garbage(view).includes(key) || more(key, view)),
});

export const mutants: Record<string, Mutant> = {
  "a push that is acknowledged without asking for the floor": {
    rules: {
      pushNext: (state, event): PushState => {
        const next = realRules.pushNext(state, event);
        return next.at === "stored" ? { at: "won" } : next;
      },
    },
    in: "a pusher that slept",
    finds: /was acknowledged at an LSN that had been collected/,
  },
  "a push below the floor that believes any next commit": {
    rules: {
      pushNext: (state, event): PushState =>
        "next" in event && event.next === "onAnother" ? { at: "won" } : realRules.pushNext(state, event),
    },
    in: "a pusher that slept",
    finds: /was acknowledged at an LSN that had been collected/,
  },
  "a fork without a pin": {
    rules: { pins: false },
    in: "a fork of what is dropped",
    finds: /a fork needs/,
  },
  "a fork that looks at the floor before it pins": {
    rules: { pinsFirst: false },
    in: "a fork of what is dropped",
    finds: /a fork needs/,
  },
  "a fork that does not ask for the floor": {
    rules: { goesOn: () => true, replaces: () => false },
    in: "a fork of what is dropped",
    finds: /a fork needs/,
  },
  "a fork that leaves an announced floor alone": {
    rules: { replaces: () => false },
    in: "a fork of what is dropped",
    finds: /a fork needs/,
  },
  "a collector that lists pins without announcing that": {
    rules: { announces: false },
    in: "a fork of what is dropped",
    finds: /a fork needs/,
  },
  "a collector that keeps what pins need for as long as it is there, instead": {
    rules: {
      announces: false,
      obtainable: (world, _floor, lsn) => missingOf(world, lsn, realRules.lookup) === undefined,
    },
    in: "a late pin",
    finds: /which is gone|a fork needs/,
  },
  "pins in a listing that lags": {
    rules: { pinsLag: true },
    in: "a fork of what is dropped",
    finds: /a fork needs/,
  },
  "a collector that does not heed pins": {
    rules: { heeds: () => false },
    in: "a restore of what is dropped",
    finds: /cannot be found/,
  },
  "a restore without a pin": {
    rules: { pins: false },
    in: "a restore of what is dropped",
    finds: /cannot be found/,
  },
  "a floor without a complete checkpoint": {
    rules: { complete: false },
    in: "two sweepers, one of which slept",
    finds: /cannot be found/,
  },
  "a collector that makes the next floor but one where the next is taken": {
    rules: { startsAgain: false },
    in: "compaction beside collection",
    finds: /cannot be found|table|was collected|is gone/,
  },
  "a sweep that does not wait for the grace period": {
    rules: { sweepFloors: (world) => [newestFloor(world)] },
    in: "two sweepers, one of which slept",
    finds: /kept it/,
  },
  "a sweep that takes the segment of a push under way": {
    rules: sweepAlso((key, { commits }) => key.startsWith("segments/") && !commits.has(numberIn(key))),
    in: "pushes while the floor rises",
    finds: /names segments\/.*, which was collected/,
  },
  "a sweep that takes segments below the floor although a checkpoint names them": {
    rules: sweepAlso(
      (key, { floors }) => key.startsWith("segments/") && floors.every(({ lsn }) => numberIn(key) < lsn),
    ),
    in: "segments that stay where they are",
    finds: /is gone/,
  },
  "a sweep that takes what a compaction writes at this moment": {
    rules: {
      garbage: (view) => {
        const later = view.floors.map((floor, i) => (i === 0 ? { ...floor, n: floor.n + 1 } : floor));
        return realRules.garbage({ ...view, floors: later });
      },
    },
    in: "compaction beside collection",
    finds: /is gone/,
  },
  "a sweep that takes checkpoints above the floor that no floor names": {
    rules: sweepAlso(
      (key, { floors }) =>
        key.startsWith("checkpoints/") && !floors.some(({ checkpoints }) => checkpoints.includes(key)),
    ),
    in: "compaction beside collection",
    finds: /is gone|table/,
  },
  "a sweep that takes checkpoints that the next floor may name": {
    rules: sweepAlso(
      (key, { floors }) =>
        key.startsWith("checkpoints/") &&
        floors.every(({ lsn, checkpoints }) => numberIn(key) < lsn && !checkpoints.includes(key)),
    ),
    in: "kept states that are written anew",
    finds: /which is gone/,
  },
  "a sweep that does not look again whether the floor has moved": {
    rules: { looksAgain: false },
    in: "two sweepers, one of which slept",
    finds: /is gone/,
  },
  "a collector that takes over places from what no floor names": {
    rules: {
      inheritsFrom: (world, floor) => [...floor.checkpoints, ...list(world, "checkpoints/", false)],
    },
    in: "what a compaction superseded",
    finds: /is gone/,
  },
  "readers that look at the newest floor only": {
    rules: { lookup: (world) => [newestFloor(world)] },
    in: "two sweepers, one of which slept",
    finds: /kept it/,
  },
  "a reader that asks for the next commit, and not for the floor": {
    rules: { asksFloorOfHead: false },
    in: "pushers that ask for the next commit",
    finds: /which is not in the log|had been collected/,
  },
};
