/** The rollups of a log as its one writer keeps them: two runs of 2^k commits become one of 2^(k+1), and their halves are the bands of the next commits. */
import type { Hash, Lsn, PageCount } from "../../src/base/brand.ts";
import type { Hasher } from "../../src/format/hash.ts";
import { trailingPowers } from "../../src/format/jumps.ts";
import type { BandRef, PageWriter, Rollup } from "../../src/format/model.ts";
import { encodeRollup, mergeRollups } from "../../src/format/rollup-codec.ts";

/** A commit whose hash is known only when its bands are made: it is told to what holds it already. */
export type OwnWriter = { -readonly [K in keyof PageWriter]: PageWriter[K] };

export interface ChainBands {
  readonly refs: readonly BandRef[];
  readonly inline: readonly Uint8Array[];
  readonly apart: readonly Uint8Array[];
}

export class ChainRollups {
  readonly #hasher: Hasher;
  readonly #rideAlongBytes: number;
  /** Of the manifest: it stands for LSN 0. */
  readonly #origin: Hash;
  #parent: Hash;
  /** For every j, the hash of the newest commit whose LSN 2^j divides: what jump hashes are taken from. */
  readonly #aligned: Hash[] = [];
  /** Slot k: the run of 2^k commits that ends at the newest multiple of 2^k, while the other half of 2^(k+1) is to come. */
  readonly #runs: (Rollup | undefined)[] = [];

  constructor(hasher: Hasher, origin: Hash, rideAlongBytes: number) {
    this.#hasher = hasher;
    this.#origin = origin;
    this.#parent = origin;
    this.#rideAlongBytes = rideAlongBytes;
  }

  jumpHashes(lsn: Lsn): Hash[] {
    const hashes = [this.#parent];
    // Where 2^j divides lsn, the newest multiple of it before is lsn - 2^j.
    for (let j = 1; j <= trailingPowers(lsn); j++) hashes.push(this.#aligned[j] ?? this.#origin);
    return hashes;
  }

  /** The bands of the next commit, newest first; what they cover becomes one run, of which `own` stays a part: set its hash, then call `created`. */
  bands(own: OwnWriter, lowestPageCount: PageCount): ChainBands {
    const { lsn } = own;
    const powers = trailingPowers(lsn);
    let newer: Rollup = { from: (lsn - 1) as Lsn, to: lsn, lowestPageCount, writers: [own] };
    const refs: BandRef[] = [];
    const inline: Uint8Array[] = [];
    const apart: Uint8Array[] = [];
    let riding = 0;
    for (let j = 1; j <= powers; j++) {
      const older = this.#runs[j - 1]!;
      const merged = mergeRollups(older, newer);
      const band = encodeRollup({ ...older, writers: merged.writers.slice(newer.writers.length) });
      riding += band.length;
      const isApart = riding > this.#rideAlongBytes;
      (isApart ? apart : inline).push(band);
      refs.push({ length: band.length, hash: this.#hasher.blake3(band), apart: isApart });
      this.#runs[j - 1] = undefined;
      newer = merged;
    }
    this.#runs[powers] = newer;
    return { refs, inline, apart };
  }

  created(lsn: Lsn, hash: Hash): void {
    this.#parent = hash;
    for (let j = trailingPowers(lsn); j >= 0; j--) this.#aligned[j] = hash;
  }
}
