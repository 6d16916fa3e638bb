/**
 * The bands and jump hashes that a new commit carries: merged from its predecessors' rollups, which a writer that stays on its
 * chain has at hand; what it has not is fetched in one round trip.
 */
import type { Hash, Lsn } from "../base/brand.ts";
import { isPagefoldError } from "../base/errors.ts";
import type { Codecs } from "../format/codecs.ts";
import { bandInterval, trailingPowers } from "../format/jumps.ts";
import type { BandRef, Rollup } from "../format/model.ts";
import { encodeRollup, mergeRollups, remainingOf } from "../format/rollup-codec.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import type { CommitDirectory } from "../volume/commit-directory.ts";
import type { ChainStep } from "../volume/remote-state.ts";
import { fetchChain } from "./chain-fetch.ts";

/** Default of `rideAlongBytes`. */
const RIDE_ALONG_BYTES = 1_048_576;

export interface CommitBands {
  readonly jumpHashes: readonly Hash[];
  readonly refs: readonly BandRef[];
  /** Those that ride along, newest first. */
  readonly inline: readonly Uint8Array[];
  /** Those stored apart, back to back; empty when there are none. */
  readonly apart: readonly Uint8Array[];
  /** All bands as values, newest first. */
  readonly rollups: readonly Rollup[];
}

export interface BandOptions {
  readonly store: ObjectStore;
  readonly directory: CommitDirectory;
  readonly codecs: Codecs;
  readonly parent: { readonly lsn: Lsn; readonly hash: Hash };
  /** Bands beyond this many bytes are stored apart, so that a commit stays one small PUT; default 1 MiB. */
  readonly rideAlongBytes?: number | undefined;
  /** Where it is known that older commits were collected: bands reach down to this LSN at most (exclusive); what is missing below is not asked for. */
  readonly notBelow?: Lsn | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * What commit `parent.lsn + 1` must carry, given its own changes (the hash in `own` does not matter). Near the end of what was collected it is
 * fewer bands than its LSN could have.
 */
export async function buildBands(options: BandOptions, own: Rollup): Promise<CommitBands> {
  const { parent, codecs } = options;
  const lsn = (parent.lsn + 1) as Lsn;
  const jumpHashes: Hash[] = [parent.hash];
  const older: Rollup[] = [];
  const { powers, steps } = await stepsBelow(options, lsn);
  for (let j = 1; j <= powers; j++) {
    const { from, to } = bandInterval(lsn, j);
    const inside = steps.filter((step) => step.from >= from && step.commit.header.lsn <= to);
    older.push(inside.flatMap((step) => step.rollups).reduce((newer, rollup) => mergeRollups(rollup, newer)));
    const last = inside[inside.length - 1]!;
    jumpHashes.push(last.commit.header.jumpHashes[last.rollups.length - 1]!);
  }
  const rollups: Rollup[] = [];
  const bands: Uint8Array[] = [];
  let newer = own;
  for (const rollup of older) {
    // A band leaves out what newer bands, and the commit itself, overwrote: readers always take them together.
    const band = remainingOf(rollup, newer);
    rollups.push(band);
    bands.push(encodeRollup(band));
    newer = mergeRollups(band, newer);
  }
  const { rideAlongBytes = RIDE_ALONG_BYTES } = options;
  let riding = 0;
  const aparts = bands.map((band) => {
    riding += band.length;
    return riding > rideAlongBytes;
  });
  return {
    jumpHashes,
    refs: bands.map((band, i) => ({
      length: band.length,
      hash: codecs.hash.blake3(band),
      apart: aparts[i]!,
    })),
    inline: bands.filter((_, i) => !aparts[i]),
    apart: bands.filter((_, i) => aparts[i]),
    rollups,
  };
}

/** The log below commit `lsn`, newest first, as far down as the largest power of two that it can be had for. */
async function stepsBelow(
  options: BandOptions,
  lsn: Lsn,
): Promise<{ readonly powers: number; readonly steps: readonly ChainStep[] }> {
  const { parent, notBelow = 0 } = options;
  let powers = trailingPowers(lsn);
  let lowest: number = notBelow;
  for (;;) {
    while (powers > 0 && lsn - 2 ** powers < lowest) powers--;
    if (powers === 0) return { powers, steps: [] };
    const bottom = (lsn - 2 ** powers) as Lsn;
    try {
      const steps = await fetchChain({ ...options, from: { lsn: bottom }, to: parent });
      return { powers, steps: steps.reverse() };
    } catch (error) {
      // Collected meanwhile, and so is all that is older than it.
      if (!isPagefoldError(error, "not_found") || typeof error.details.lsn !== "number") throw error;
      lowest = Math.max(bottom + 1, error.details.lsn);
    }
  }
}
