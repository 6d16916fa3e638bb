/** The protocol between clients of one volume in every interleaving, and proof that the search would find a protocol that is wrong. */
import { describe, expect, it } from "vitest";
import type { Verb } from "../../src/replicate/verb-machine.ts";
import { type Exploration, explore, type Machine, realMachine, type Scenario } from "./protocol-explorer.ts";

const all: readonly Verb[] = ["push", "pull", "reset"];

const scenarios: Record<string, Scenario> = {
  "two pushers and a stale reader": {
    clients: [
      { name: "a", writes: 1, verbs: all },
      { name: "b", writes: 1, verbs: all },
      { name: "c", writes: 0, verbs: ["fetch", "pull"] },
    ],
  },
  "two pushers, one of which commits twice": {
    clients: [
      { name: "a", writes: 2, verbs: all },
      { name: "b", writes: 1, verbs: all },
    ],
  },
  "two pushers and a store that refuses": {
    clients: [
      { name: "a", writes: 2, verbs: all },
      { name: "b", writes: 1, verbs: ["push", "reset"] },
    ],
    refusals: true,
  },
  "an importer that also commits locally, and a pusher": {
    clients: [
      { name: "a", writes: 1, imports: 1, verbs: all },
      { name: "b", writes: 1, verbs: ["push"] },
    ],
    refusals: true,
  },
  "one client alone": {
    clients: [{ name: "a", writes: 3, imports: 2, verbs: all }],
    refusals: true,
  },
  "three pushers, ten steps": {
    clients: [
      { name: "a", writes: 1, verbs: ["push", "reset"] },
      { name: "b", writes: 1, verbs: ["push", "reset"] },
      { name: "c", writes: 1, verbs: ["push", "pull"] },
    ],
    depth: 10,
  },
};

function report(name: string, { states, transitions, depth, violation }: Exploration): string {
  const found = violation === undefined ? "" : `\n${violation.problem}\n  ${violation.trace.join("\n  ")}`;
  return `${name}: ${states} states, ${transitions} transitions, ${depth} steps deep${found}`;
}

describe("the protocol in every interleaving", () => {
  const kinds = new Set<string>();
  for (const [name, scenario] of Object.entries(scenarios)) {
    it(`invariants 1 to 5 and 11: ${name}`, () => {
      const exploration = explore(scenario);
      console.log(report(name, exploration));
      expect(exploration.violation, report(name, exploration)).toBeUndefined();
      expect(exploration.states).toBeGreaterThan(1000);
      for (const kind of exploration.kinds.keys()) kinds.add(kind);
    });
  }

  it("reaches everything that can happen", () => {
    for (const kind of [
      "land",
      "crash",
      "created",
      "exists",
      "unknown",
      "refused",
      "read back",
      "ask floor",
      "finish won",
      "finish lost",
      "finish refused",
      "diverged",
      "conflict",
      "drop",
      "move",
    ]) {
      expect([...kinds]).toContain(kind);
    }
  });

  it("is deterministic", () => {
    const scenario = scenarios["an importer that also commits locally, and a pusher"]!;
    expect(explore(scenario)).toEqual(explore(scenario));
  });
});

/** Machines that are wrong in one way, and what the search says of them. */
const mutants: Record<string, { readonly machine: Partial<Machine>; readonly finds: RegExp }> = {
  'taking "exists" for a defeat without reading back': {
    machine: {
      pushNext: (state, event) =>
        "answer" in event && event.answer === "exists" ? { at: "lost" } : realMachine.pushNext(state, event),
    },
    finds: /does not know/,
  },
  "taking a lost answer for a failure": {
    machine: {
      pushNext: (state, event) =>
        "answer" in event && event.answer === "unknown"
          ? { at: "refused" }
          : realMachine.pushNext(state, event),
    },
    finds: /does not know/,
  },
  "sending other bytes while the outcome is open": {
    machine: {
      nextStep: (verb, standing) =>
        realMachine.nextStep(verb, verb === "push" ? { ...standing, intentOpen: false } : standing),
    },
    finds: /does not know|twice/,
  },
  "resetting without waiting for the open push": {
    machine: {
      nextStep: (verb, standing) =>
        realMachine.nextStep(verb, verb === "reset" ? { ...standing, intentOpen: false } : standing),
    },
    finds: /reset, and is in the log|gone/,
  },
  "adopting any commit of the LSN": {
    machine: { whose: () => "ours" },
    finds: /stands on|acknowledged/,
  },
  "believing a refusal although an earlier request may be on its way": {
    machine: {
      pushNext: (state, event) =>
        "answer" in event && event.answer === "refused"
          ? { at: "refused" }
          : realMachine.pushNext(state, event),
    },
    finds: /does not know/,
  },
  "believing a refusal after a crash": {
    machine: { recoveredPush: { at: "recorded", maybeSent: false, attempts: 0 } },
    finds: /does not know/,
  },
  "forgetting the open push after a crash": {
    machine: { recoveredPush: { at: "lost" } },
    finds: /does not know/,
  },
  "waiting for the open push without sending it again": {
    machine: {
      pushNext: (state, event) =>
        "found" in event && event.found === "absent" ? state : realMachine.pushNext(state, event),
    },
    finds: /cannot finish/,
  },
  "taking an absent commit for a defeat": {
    machine: {
      pushNext: (state, event) =>
        "found" in event && event.found === "absent" ? { at: "lost" } : realMachine.pushNext(state, event),
    },
    finds: /does not know/,
  },
  "pulling under local commits": {
    machine: {
      nextStep: (verb, standing) => {
        const step = realMachine.nextStep(verb, standing);
        return verb === "pull" && step === "diverged" ? "move" : step;
      },
    },
    finds: /was made on/,
  },
  "pulling while a push is open": {
    machine: {
      nextStep: (verb, standing) =>
        realMachine.nextStep(
          verb,
          verb === "pull" ? { ...standing, intentOpen: false, unpushed: 0 } : standing,
        ),
    },
    finds: /was made on|stands on/,
  },
  "laying local commits over an import that they do not know": {
    machine: { closing: (result) => result },
    finds: /was made on/,
  },
};

describe("a wrong protocol is found:", () => {
  for (const [name, { machine, finds }] of Object.entries(mutants)) {
    it(name, () => {
      const findings = Object.values(scenarios).flatMap((scenario) => {
        const { violation } = explore(
          { ...scenario, depth: scenario.depth ?? 14 },
          { ...realMachine, ...machine },
        );
        return violation === undefined ? [] : [violation];
      });
      expect(findings.length, "in no scenario").toBeGreaterThan(0);
      for (const { problem, trace } of findings) {
        expect(problem).not.toMatch(/more states/);
        expect(trace.length).toBeGreaterThan(0);
      }
      expect(findings.map(({ problem }) => problem).join("\n")).toMatch(finds);
    });
  }
});
