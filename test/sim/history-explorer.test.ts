/** The protocols of history in every interleaving, and proof that the search would find protocols that are wrong. */
import { describe, expect, it } from "vitest";
import { onDemand } from "../more.ts";
import { type Exploration, exploreHistory } from "./history/explorer.ts";
import { mutants } from "./history/mutants.ts";
import { realRules } from "./history/rules.ts";
import { more, scenarios } from "./history/scenarios.ts";

function report(name: string, { states, transitions, depth, violation }: Exploration): string {
  const found = violation === undefined ? "" : `\n${violation.problem}\n  ${violation.trace.join("\n  ")}`;
  return `${name}: ${states} states, ${transitions} transitions, ${depth} steps deep${found}`;
}

describe("history in every interleaving", () => {
  const kinds = new Set<string>();
  for (const [name, scenario] of Object.entries(scenarios)) {
    it(`invariants 1, 4, 8 and 9: ${name}`, () => {
      const exploration = exploreHistory(scenario);
      console.log(report(name, exploration));
      expect(exploration.violation, report(name, exploration)).toBeUndefined();
      expect(exploration.states).toBeGreaterThan(1000);
      for (const kind of exploration.kinds.keys()) kinds.add(kind);
    }, 120_000);
  }

  for (const [name, scenario] of Object.entries(more)) {
    it(`invariants 1, 4, 8 and 9: ${name}`, (context) => {
      onDemand(context);
      const exploration = exploreHistory(scenario);
      console.log(report(name, exploration));
      expect(exploration.violation, report(name, exploration)).toBeUndefined();
    }, 900_000);
  }

  it("reaches everything that can happen", () => {
    for (const kind of [
      ...[
        "pass",
        "begin",
        "complete",
        "announce",
        "list pins",
        "raise",
        "beaten",
        "floors",
        "doom",
        "delete",
      ],
      ...[
        "pin",
        "ask after pin",
        "replace",
        "not kept",
        "fork",
        "record",
        "segment",
        "created",
        "exists",
        "unknown",
      ],
      ...[
        "land",
        "read back",
        "floor above",
        "floor notAbove",
        "next onOurs",
        "next onAnother",
        "next absent",
      ],
      ...[
        "finish won",
        "finish lost",
        "load",
        "checkpoint",
        "anchor",
        "let go",
        "probe",
        "above head",
        "list",
      ],
      ...["copy", "place", "crash", "move"],
    ]) {
      expect([...kinds]).toContain(kind);
    }
  });

  it("is deterministic", () => {
    const scenario = scenarios["compaction beside collection"]!;
    expect(exploreHistory(scenario)).toEqual(exploreHistory(scenario));
  }, 120_000);
});

describe("a wrong protocol is found:", () => {
  const all = { ...scenarios, ...more };
  for (const [name, mutant] of Object.entries(mutants)) {
    it(name, (context) => {
      if (mutant.long) onDemand(context);
      const exploration = exploreHistory(all[mutant.in]!, { ...realRules, ...mutant.rules });
      const { violation } = exploration;
      expect(violation, report(mutant.in, exploration)).toBeDefined();
      expect(violation!.problem).toMatch(mutant.finds);
      expect(violation!.trace.length).toBeGreaterThan(0);
    }, 120_000);
  }
});
