/** The push protocol as a table: every state, every event. */
import { describe, expect, it } from "vitest";
import {
  closing,
  freshPush,
  givesUp,
  type PushEvent,
  type PushState,
  pushAction,
  pushNext,
  recoveredPush,
  whose,
} from "../../src/replicate/push-machine.ts";

const recorded = (maybeSent: boolean, attempts: number): PushState => ({
  at: "recorded",
  maybeSent,
  attempts,
});
const asking = (attempts: number, seenExisting = false): PushState => ({
  at: "asking",
  attempts,
  seenExisting,
});
const stored = (attempts: number): PushState => ({ at: "stored", attempts });
const below = (attempts: number): PushState => ({ at: "below", attempts });

const table: readonly [PushState, PushEvent, PushState][] = [
  [recorded(false, 0), { answer: "created" }, stored(1)],
  [recorded(true, 3), { answer: "created" }, stored(4)],
  [recorded(false, 0), { answer: "exists" }, asking(1, true)],
  [recorded(true, 2), { answer: "exists" }, asking(3, true)],
  [recorded(false, 0), { answer: "unknown" }, asking(1)],
  [recorded(true, 1), { answer: "unknown" }, asking(2)],
  [recorded(false, 0), { answer: "refused" }, { at: "refused" }],
  // An earlier request may still arrive: a refusal now proves nothing.
  [recorded(true, 1), { answer: "refused" }, recorded(true, 2)],
  [asking(1), { found: "ours" }, stored(1)],
  [asking(1), { found: "another" }, { at: "lost" }],
  [asking(1), { found: "absent" }, recorded(true, 1)],
  [asking(1, true), { found: "ours" }, stored(1)],
  [asking(1, true), { found: "another" }, { at: "lost" }],
  [asking(1, true), { found: "absent" }, recorded(true, 1)],
  // What is below the floor may have been collected: "created" alone proves nothing.
  [stored(1), { floor: "notAbove" }, { at: "won" }],
  [stored(1), { floor: "above" }, below(1)],
  [below(1), { next: "onOurs" }, { at: "won" }],
  [below(1), { next: "onAnother" }, { at: "lost" }],
  [below(1), { next: "absent" }, { at: "lost" }],
];

describe("push-machine", () => {
  for (const [state, event, next] of table) {
    it(`${JSON.stringify(state)} + ${JSON.stringify(event)}`, () =>
      expect(pushNext(state, event)).toEqual(next));
  }

  it("an event that belongs to another state changes nothing, and an end is an end", () => {
    const events: PushEvent[] = [
      { answer: "created" },
      { answer: "refused" },
      { found: "ours" },
      { found: "absent" },
      { floor: "notAbove" },
      { next: "onOurs" },
    ];
    for (const at of ["won", "lost", "refused"] as const) {
      for (const event of events) expect(pushNext({ at }, event)).toEqual({ at });
    }
    expect(pushNext(asking(1), { answer: "created" })).toEqual(asking(1));
    expect(pushNext(recorded(false, 0), { found: "ours" })).toEqual(recorded(false, 0));
    for (const state of [recorded(false, 0), asking(1), below(1)]) {
      expect(pushNext(state, { floor: "notAbove" })).toEqual(state);
    }
    for (const state of [recorded(false, 0), asking(1), stored(1)]) {
      expect(pushNext(state, { next: "onOurs" })).toEqual(state);
    }
  });

  it("what is done in each state", () => {
    expect(pushAction(freshPush)).toEqual({ do: "create" });
    expect(pushAction(recoveredPush)).toEqual({ do: "readBack" });
    expect(pushAction(stored(1))).toEqual({ do: "askFloor" });
    expect(pushAction(below(1))).toEqual({ do: "readNext" });
    for (const result of ["won", "lost", "refused"] as const)
      expect(pushAction({ at: result })).toEqual({ do: "finish", result });
  });

  it("invariant 3: once something may have been sent, only an answer about it ends the push", () => {
    // Breadth first over everything that can happen after an unknown answer.
    const seen = new Set<string>();
    const queue = [pushNext(freshPush, { answer: "unknown" }), recoveredPush];
    const events: PushEvent[] = [
      { answer: "exists" },
      { answer: "unknown" },
      { answer: "refused" },
      { found: "absent" },
    ];
    for (let state = queue.shift(); state !== undefined; state = queue.shift()) {
      const key = JSON.stringify(state);
      if (seen.has(key) || givesUp(state)) continue;
      seen.add(key);
      expect(["recorded", "asking"]).toContain(state.at);
      for (const event of events) queue.push(pushNext(state, event));
    }
    expect(seen.size).toBeGreaterThan(5);
  });

  it("ours is the push id and the hash, nothing less", () => {
    const mine = { pushId: "p", hash: "h" };
    expect(whose(mine, { pushId: "p", hash: "h" })).toBe("ours");
    expect(whose(mine, { pushId: "p", hash: "x" })).toBe("another");
    expect(whose(mine, { pushId: "x", hash: "h" })).toBe("another");
  });

  it("an import is not stood upon where local commits were made meanwhile", () => {
    expect(closing("won", 0, 1)).toBe("lost");
    expect(closing("won", 0, 0)).toBe("won");
    expect(closing("won", 3, 2)).toBe("won");
    expect(closing("refused", 0, 1)).toBe("refused");
  });
});
