/**
 * Checks the jump hashes and bands of a commit that was sent against those that the server builds from its own reading of the log. Bands that
 * are other bytes may still say the same: what counts is what a reader learns of them.
 */
import type { Hash, Lsn } from "../../../src/base/brand.ts";
import { concatBytes } from "../../../src/format/bytes.ts";
import type { DecodedCommit } from "../../../src/format/commit-codec.ts";
import { bandInterval } from "../../../src/format/jumps.ts";
import { rollupKey } from "../../../src/format/keys.ts";
import type { Rollup } from "../../../src/format/model.ts";
import {
  decodeRollup,
  encodeRollup,
  mergeRollups,
  rollupOfCommit,
} from "../../../src/format/rollup-codec.ts";
import { buildBands } from "../../../src/replicate/bands.ts";
import type { ServerContext } from "../context.ts";
import { type KnownVolume, signalOf } from "../volume-logs.ts";
import { decoding, lie } from "./lies.ts";

type BandContext = Pick<ServerContext, "codecs" | "store" | "origin" | "logs">;

/**
 * @param bytes the commit object
 * @returns the bands apart, where the commit has any and they are the very ones that the server would make
 * @throws 422
 */
export async function checkBands(
  context: BandContext,
  volume: KnownVolume,
  commit: DecodedCommit,
  bytes: Uint8Array,
  parent: { readonly lsn: Lsn; readonly hash: Hash },
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  const { codecs, store, logs } = context;
  const { header } = commit;
  const what = `commit ${header.lsn} of volume ${header.volume}`;
  const own = rollupOfCommit(header, parent.hash);
  const directory = logs.directory(volume);
  const built = await buildBands({ store, directory, codecs, parent, signal }, own);
  if (header.bands.length > built.rollups.length) {
    throw lie(
      what,
      `its ${header.bands.length} bands reach below the oldest commit that is left; build it anew`,
      {
        lsn: header.lsn,
      },
    );
  }
  const wrong = header.jumpHashes.findIndex((hash, j) => built.jumpHashes[j] !== hash);
  if (wrong !== -1) {
    throw lie(what, `jump hash ${wrong} is not that of commit ${header.lsn - 2 ** wrong}`, {
      lsn: header.lsn,
    });
  }
  const apart = header.bands.some((band) => band.apart)
    ? await context.origin.get(rollupKey(header.volume, header.lsn), signalOf(signal))
    : undefined;
  let newer = own;
  // It may have fewer than it could: that costs readers more steps, and tells them nothing wrong.
  for (const [i, rollup] of built.rollups.slice(0, header.bands.length).entries()) {
    const merged = mergeRollups(rollup, newer);
    const stored = bandBytes(context, commit, i, bytes, apart);
    const ref = header.bands[i]!;
    const same = ref.hash === built.refs[i]!.hash && ref.length === built.refs[i]!.length;
    if (!same && !saysTheSame(what, stored, header.lsn, i + 1, newer, merged)) {
      throw lie(what, `band ${i + 1} is not what the commits before it say`, {
        lsn: header.lsn,
        band: i + 1,
      });
    }
    newer = merged;
  }
  const apartOnes = header.bands.flatMap((ref, i) => (ref.apart ? [i] : []));
  const known = apartOnes.every((i) => header.bands[i]!.hash === built.refs[i]!.hash);
  if (apartOnes.length === 0 || !known) return undefined;
  return concatBytes(apartOnes.map((i) => encodeRollup(built.rollups[i]!)));
}

/** The bytes of a band, checked against the header's hash; undefined where a band stored apart is missing or another. */
function bandBytes(
  { codecs }: BandContext,
  commit: DecodedCommit,
  i: number,
  bytes: Uint8Array,
  apart: Uint8Array | undefined,
): Uint8Array | undefined {
  const { header, bandExtents, apartBandExtents } = commit;
  const ref = header.bands[i]!;
  const { offset, length } = ref.apart ? apartBandExtents[i - bandExtents.length]! : bandExtents[i]!;
  const stored = (ref.apart ? apart : bytes)?.subarray(offset, offset + length);
  const whole = stored?.length === length && codecs.hash.blake3(stored) === ref.hash;
  if (whole) return stored;
  if (ref.apart) return undefined;
  throw lie(`commit ${header.lsn} of volume ${header.volume}`, `band ${i + 1} does not match its hash`);
}

function saysTheSame(
  what: string,
  stored: Uint8Array | undefined,
  lsn: Lsn,
  band: number,
  newer: Rollup,
  expected: Rollup,
): boolean {
  if (stored === undefined) return false;
  const found = mergeRollups(
    decoding(what, () => decodeRollup(stored, bandInterval(lsn, band))),
    newer,
  );
  return (
    found.lowestPageCount === expected.lowestPageCount &&
    found.writers.length === expected.writers.length &&
    found.writers.every((writer, i) => {
      const other = expected.writers[i]!;
      return writer.lsn === other.lsn && writer.hash === other.hash && writer.pages.equals(other.pages);
    })
  );
}
