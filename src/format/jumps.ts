/**
 * The arithmetic of the skip list over LSNs: which powers of two an LSN carries, and the way from one LSN down to another. Pure;
 * knows nothing of bytes. FORMAT.md, "Rollups and jumps".
 */
import { assert } from "../base/assert.ts";
import type { Lsn } from "../base/brand.ts";

/** The largest k such that 2^k divides `lsn`: the commit has k + 1 jump hashes and k bands. lsn >= 1. */
export function trailingPowers(lsn: number): number {
  assert(Number.isSafeInteger(lsn) && lsn >= 1, `an LSN of ${lsn}`);
  const low = lsn % 0x1_0000_0000;
  if (low !== 0) return 31 - Math.clz32(low & -low);
  return 32 + trailingPowers(lsn / 0x1_0000_0000);
}

/** Band j of commit `lsn` covers (from, to]. 1 <= j <= trailingPowers(lsn). */
export function bandInterval(lsn: Lsn, j: number): { readonly from: Lsn; readonly to: Lsn } {
  assert(j >= 1 && j <= trailingPowers(lsn), `band ${j} of LSN ${lsn}`);
  return { from: (lsn - 2 ** j) as Lsn, to: (lsn - 2 ** (j - 1)) as Lsn };
}

/** One step of a way down: the commit `lsn` with its bands 1 … step serves (lsn - 2^step, lsn]. */
export interface JumpStep {
  readonly lsn: Lsn;
  readonly step: number;
}

/**
 * The commits to read to learn all changes in (to, from], newest first: from `from`, step back again and again by the largest power of two
 * that divides the current LSN and does not pass `to`. `maxStep` lowers a commit's steps, where bands of it are missing.
 * At most 2 * log2(from - to) + 1 steps.
 */
export function pathDown(from: Lsn, to: Lsn, maxStep?: (lsn: Lsn) => number): JumpStep[] {
  assert(to >= 0 && to <= from, `a way down from ${from} to ${to}`);
  const path: JumpStep[] = [];
  for (let lsn: number = from; lsn > to; ) {
    let step = trailingPowers(lsn);
    if (maxStep !== undefined) step = Math.min(step, maxStep(lsn as Lsn));
    while (2 ** step > lsn - to) step--;
    path.push({ lsn: lsn as Lsn, step });
    lsn -= 2 ** step;
  }
  return path;
}
