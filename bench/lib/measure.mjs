/**
 * How a row is measured: ours and the reference in turns within one run, so that whatever else the machine does falls on both. A row's
 * ratio is the median of the pairs' ratios, not the ratio of two medians.
 */
import { performance } from "node:perf_hooks";

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Milliseconds that `work` takes. */
export async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/**
 * Runs `ours` and `reference` in turns, so many pairs, each first in every other pair; either may answer its own figure (a
 * time), else its wall-clock time counts. The first `warmUp` pairs do not count.
 */
export async function inPairs({ pairs, warmUp = 0, ours, reference }) {
  const results = [];
  const once = async (work, i) => {
    let own;
    const ms = await timed(async () => {
      own = await work(i);
    });
    return typeof own === "number" ? own : ms;
  };
  for (let i = 0; i < pairs + warmUp; i++) {
    let a;
    let b;
    if (i % 2 === 0) {
      a = await once(ours, i);
      b = await once(reference, i);
    } else {
      b = await once(reference, i);
      a = await once(ours, i);
    }
    if (i >= warmUp) results.push({ ours: a, reference: b });
  }
  return {
    ours: median(results.map((pair) => pair.ours)),
    reference: median(results.map((pair) => pair.reference)),
    /** Time of ours over time of the reference. */
    ratio: median(results.map((pair) => pair.ours / pair.reference)),
    pairs: results,
  };
}

/** The same for loops too short to time call by call: blocks of `operations` calls; figures are microseconds per call. */
export async function inBlocks({ pairs, warmUp = 2, operations, ours, reference }) {
  const perCall = (work) => async (i) => {
    const start = performance.now();
    await work(i);
    return ((performance.now() - start) * 1000) / operations;
  };
  return inPairs({ pairs, warmUp, ours: perCall(ours), reference: perCall(reference) });
}
