/**
 * What bands must say, worked out from the commits that they merge: one rollup per power of two is kept, as a counter keeps its digits. A band has one
 * encoding, so its hash in the header tells whether it lies, and its bytes are fetched to see that they are there.
 */
import type { Lsn } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import type { DecodedCommit } from "../../format/commit-codec.ts";
import { bandInterval, trailingPowers } from "../../format/jumps.ts";
import { commitKey, rollupKey } from "../../format/keys.ts";
import type { BandRef, Rollup } from "../../format/model.ts";
import {
  decodeRollup,
  encodeRollup,
  mergeRollups,
  remainingOf,
  rollupOfCommit,
} from "../../format/rollup-codec.ts";
import { fetchChain } from "../../replicate/chain-fetch.ts";
import type { VerifyRun } from "./run.ts";

export interface BandCounts {
  bands: number;
  lostBands: number;
}

/** Bands of some commits, in the order of the log. */
export class BandCheck {
  readonly #run: VerifyRun;
  /** [j]: all changes of the 2^j commits that end at the newest multiple of 2^j. */
  readonly #levels: (Rollup | undefined)[] = [];

  constructor(run: VerifyRun) {
    this.#run = run;
  }

  /** Takes up where another check ended, at `through`: what it had merged is had from the log, which it verified. */
  async resume(through: Lsn, from: Lsn): Promise<void> {
    const { directory, context, source, signal } = this.#run;
    for (let j = 0; 2 ** j <= through; j++) {
      const to = (Math.floor(through / 2 ** j) * 2 ** j) as Lsn;
      const bottom = (to - 2 ** j) as Lsn;
      if (bottom < from) continue;
      const chain = { store: source.remote, directory, codecs: context.codecs, signal };
      const steps = await this.#run.attempt(() =>
        fetchChain({ ...chain, from: { lsn: bottom }, to: { lsn: to } }),
      );
      this.#levels[j] = steps
        ?.toReversed()
        .flatMap((step) => step.rollups)
        .reduce((newer, older) => mergeRollups(older, newer));
    }
  }

  /**
   * Takes the next commit, and answers how to check its bands, which may be done at any time; undefined where it has none.
   * @param commit undefined: what contains it cannot be checked
   */
  add(lsn: Lsn, commit: DecodedCommit | undefined, counts: BandCounts): (() => Promise<void>) | undefined {
    const powers = trailingPowers(lsn);
    let newer = commit === undefined ? undefined : rollupOfCommit(commit.header, commit.hash);
    const merged: (Rollup | undefined)[] = [newer];
    const expected: (Rollup | undefined)[] = [];
    for (let j = 1; j <= powers; j++) {
      const older = this.#levels[j - 1];
      const band = older === undefined || newer === undefined ? undefined : remainingOf(older, newer);
      expected.push(band);
      newer = band === undefined || newer === undefined ? undefined : mergeRollups(band, newer);
      merged.push(newer);
    }
    merged.forEach((rollup, j) => {
      this.#levels[j] = rollup;
    });
    if (commit === undefined || commit.header.bands.length === 0) return undefined;
    return () => this.#check(commit, expected, counts);
  }

  async #check(
    commit: DecodedCommit,
    expected: readonly (Rollup | undefined)[],
    counts: BandCounts,
  ): Promise<void> {
    const { hash } = this.#run.context.codecs;
    const { header } = commit;
    const stored = await this.#storedBands(commit);
    for (const [i, ref] of header.bands.entries()) {
      const bytes = stored[i];
      if (bytes === undefined) {
        counts.lostBands++;
      } else if (bytes.length !== ref.length || hash.blake3(bytes) !== ref.hash) {
        this.#run.report(this.#damaged(commit, i, ref));
        continue;
      }
      const band = expected[i];
      // It reaches below what is kept, or over a commit that was reported.
      if (band === undefined) continue;
      counts.bands++;
      if (hash.blake3(encodeRollup(band)) === ref.hash) continue;
      const said = bytes === undefined ? undefined : decodeRollup(bytes, bandInterval(header.lsn, i + 1));
      if (said === undefined || !same(said, band)) this.#run.report(this.#lies(commit, i, said));
    }
  }

  /** The bytes of every band; undefined where it is stored apart and gone. */
  async #storedBands(commit: DecodedCommit): Promise<(Uint8Array | undefined)[]> {
    const { header, bandExtents, apartBandExtents, headerLength } = commit;
    const volume = this.#run.directory.volumeOf(header.lsn);
    const riding = bandExtents.reduce((sum, { length }) => sum + length, 0);
    const apart = apartBandExtents.reduce((sum, { length }) => sum + length, 0);
    const get = (key: string, offset: number, length: number) =>
      length === 0 ? undefined : this.#run.get(key, offset, length);
    const [inCommit, inRollup] = await Promise.all([
      get(commitKey(volume, header.lsn), headerLength, riding),
      get(rollupKey(volume, header.lsn), 0, apart + 1),
    ]);
    const cut = (bytes: Uint8Array | undefined, offset: number, length: number) =>
      bytes?.subarray(offset, offset + length);
    return [
      // Those that ride along are part of their commit: an absent one is damage.
      ...bandExtents.map(({ offset, length }) =>
        cut(inCommit ?? new Uint8Array(0), offset - headerLength, length),
      ),
      ...apartBandExtents.map(({ offset, length }) => cut(inRollup, offset, length)),
    ];
  }

  #damaged({ header }: DecodedCommit, i: number, ref: BandRef): PagefoldError {
    const volume = this.#run.directory.volumeOf(header.lsn);
    const key = ref.apart ? rollupKey(volume, header.lsn) : commitKey(volume, header.lsn);
    return new PagefoldError(
      "corrupt",
      `band ${i + 1} of commit ${header.lsn} of volume ${volume}${ref.apart ? ", which is stored apart," : ""} does not match its hash; ` +
        (ref.apart
          ? "delete the object, reading does without it"
          : "restore the object from a copy of the store"),
      { details: { volume, lsn: header.lsn, band: i + 1, key } },
    );
  }

  #lies({ header }: DecodedCommit, i: number, said: Rollup | undefined): PagefoldError {
    const volume = this.#run.directory.volumeOf(header.lsn);
    const { from, to } = bandInterval(header.lsn, i + 1);
    return new PagefoldError(
      "corrupt",
      `band ${i + 1} of commit ${header.lsn} of volume ${volume} does not say what the commits ${from + 1} to ${to} did` +
        `${said === undefined ? "" : ` (it names ${said.writers.length} writers)`}: the commit was written wrongly, and readers that jump over these commits see other pages`,
      { details: { volume, lsn: header.lsn, band: i + 1, key: commitKey(volume, header.lsn) } },
    );
  }
}

/** Whether two rollups say the same, but for hashes that only one of them knows. */
function same(a: Rollup, b: Rollup): boolean {
  return (
    a.lowestPageCount === b.lowestPageCount &&
    a.writers.length === b.writers.length &&
    a.writers.every((writer, i) => {
      const other = b.writers[i]!;
      const hashes = writer.hash === undefined || other.hash === undefined || writer.hash === other.hash;
      return writer.lsn === other.lsn && hashes && writer.pages.equals(other.pages);
    })
  );
}
