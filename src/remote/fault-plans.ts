/** Deterministic plans for `withFaults`: a script of single faults, or seeded random ones at given rates. */
import type { Fault, FaultPlan, StoreCall, StoreOperation } from "./with-faults.ts";

export interface ScriptedFault {
  /** Which calls this counts; absent: all. */
  readonly operation?: StoreOperation;
  /** Part of the key, or a pattern. */
  readonly key?: string | RegExp;
  /** 1 (default) hits the first such call, 2 the second … */
  readonly nth?: number;
  /** How many calls from the nth on are hit. Default 1. */
  readonly times?: number;
  readonly fault: Fault;
}

/** Every entry counts the calls that it matches; the first entry whose turn it is decides. */
export function scriptedFaults(script: readonly ScriptedFault[]): FaultPlan {
  const seen = script.map(() => 0);
  return (call) => {
    let chosen: Fault | undefined;
    for (const [i, entry] of script.entries()) {
      if (!matches(entry, call)) continue;
      const count = (seen[i] ?? 0) + 1;
      seen[i] = count;
      const { nth = 1, times = 1 } = entry;
      if (chosen === undefined && count >= nth && count < nth + times) chosen = entry.fault;
    }
    return chosen;
  };
}

function matches(entry: ScriptedFault, call: StoreCall): boolean {
  if (entry.operation !== undefined && entry.operation !== call.operation) return false;
  if (entry.key === undefined) return true;
  return typeof entry.key === "string" ? call.key.includes(entry.key) : entry.key.test(call.key);
}

export interface SeededFaultOptions {
  /** Any integer; the same seed and the same calls give the same faults. */
  readonly seed: number;
  /** Probability of each kind per call that it can hit, 0 … 1; absent kinds do not happen. */
  readonly rates: Readonly<Partial<Record<Fault["kind"], number>>>;
  /** Longest `delay` and `late`, ms. Default 100. */
  readonly maxDelayMs?: number;
}

const KINDS_OF: Readonly<Record<StoreOperation, readonly Fault["kind"][]>> = {
  get: ["fail-before", "delay", "truncate", "flip"],
  put: ["fail-before", "fail-after", "late", "delay", "interrupt"],
  list: ["fail-before", "delay"],
  delete: ["fail-before", "fail-after", "late", "delay"],
};

export function seededFaults(options: SeededFaultOptions): FaultPlan {
  const { seed, rates, maxDelayMs = 100 } = options;
  const random = mulberry32(seed);
  return (call) => {
    for (const kind of KINDS_OF[call.operation]) {
      const rate = rates[kind];
      if (rate !== undefined && random() < rate) return makeFault(kind, random, maxDelayMs);
    }
    return undefined;
  };
}

function makeFault(kind: Fault["kind"], random: () => number, maxDelayMs: number): Fault {
  switch (kind) {
    case "delay":
    case "late":
      return { kind, ms: random() * maxDelayMs };
    case "truncate":
      return { kind, keep: Math.floor(random() ** 4 * 65_536) };
    case "flip":
      return { kind, bit: Math.floor(random() * 2 ** 32) };
    case "interrupt":
      return { kind, afterBytes: Math.floor(random() ** 4 * 1_048_576) };
    default:
      return { kind };
  }
}

/** A small generator with 32 bits of state (mulberry32, Tommy Ettinger, public domain); not for secrets or ids. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
