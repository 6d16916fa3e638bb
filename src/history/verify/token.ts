/** How far a verification has come, as JSON: what was done is whole, so that going on from there is as good as doing it all at once. */
import type { Hash } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import { stateChecksumToText } from "../../format/checksum.ts";
import type { RemoteState } from "../../volume/remote-state.ts";
import type { Finding } from "./run.ts";

export type VerifyPart = "log" | "pages" | "states";

export interface VerifyToken {
  readonly version: 1;
  readonly volume: string;
  readonly lsn: number;
  /** Of the commit at that LSN; "" at LSN 0. */
  readonly hash: string;
  readonly deep: boolean;
  readonly sample: number | undefined;
  /** Headers up to `through` are proven; of every power of two the newest hash at a multiple of it; checkpoints that they name. */
  readonly log: {
    readonly through: number;
    readonly commits: number;
    readonly hashes: readonly Hash[];
    readonly checkpoints: readonly { readonly lsn: number; readonly hash: Hash }[];
  };
  /** Slices of the state's pages, in order; the sums so far, as text. */
  readonly pages: {
    /** The checkpoint by whose places they were cut. */
    readonly places: Hash | undefined;
    readonly slices: number;
    readonly pages: number;
    /** Whether all of them were had: else they do not add up. */
    readonly whole: boolean;
    readonly fromPages: string;
    readonly fromDigests: string;
  };
  /** States up to `through` add up. */
  readonly states: { readonly through: number; readonly counts: DeepCounts };
  readonly done: readonly VerifyPart[];
  readonly findings: readonly Finding[];
  readonly findingCount: number;
}

/** What a deep verification looked at. */
export interface DeepCounts {
  /** States whose checksum was recomputed. */
  readonly states: number;
  /** Bands that were compared with the commits that they merge. */
  readonly bands: number;
  /** Bands stored apart that are not there: reading takes smaller steps. */
  readonly lostBands: number;
  readonly checkpoints: number;
  /** Checkpoints that headers name, and that are not there: reading begins from an older one. */
  readonly lostCheckpoints: number;
}

export const NO_SUM = "0".repeat(32);

export function freshToken(
  volume: string,
  { lsn, hash = "" as Hash }: Pick<RemoteState, "lsn" | "hash">,
  { deep, sample }: { readonly deep: boolean; readonly sample: number | undefined },
): VerifyToken {
  return {
    ...{ version: 1, volume, lsn, hash, deep, sample },
    log: { through: 0, commits: 0, hashes: [], checkpoints: [] },
    pages: { places: undefined, slices: 0, pages: 0, whole: true, fromPages: NO_SUM, fromDigests: NO_SUM },
    states: {
      through: 0,
      counts: { states: 0, bands: 0, lostBands: 0, checkpoints: 0, lostCheckpoints: 0 },
    },
    ...{ done: [], findings: [], findingCount: 0 },
  };
}

/**
 * The token of `text`, which must be of the same verification as `fresh`.
 * @throws `invalid`
 */
export function resumedToken(text: string, fresh: VerifyToken): VerifyToken {
  let token: VerifyToken | undefined;
  try {
    token = JSON.parse(text) as VerifyToken;
  } catch {
    // Said below.
  }
  if (token?.version !== 1 || typeof token.volume !== "string") {
    throw new PagefoldError(
      "invalid",
      "what is to be resumed is no token of a verification; begin anew without it",
    );
  }
  for (const name of ["volume", "lsn", "hash", "deep", "sample"] as const) {
    if (token[name] === fresh[name]) continue;
    throw new PagefoldError(
      "invalid",
      `the verification to be resumed was begun with ${name} ${String(token[name])}, not ${String(fresh[name])}; ask for the same, or begin anew`,
      { details: { volume: fresh.volume } },
    );
  }
  return token;
}

export function sumToText(sum: Parameters<typeof stateChecksumToText>[0]): string {
  return stateChecksumToText(sum);
}

export function sumFromText(text: string): Parameters<typeof stateChecksumToText>[0] {
  return BigInt(`0x${text}`) as Parameters<typeof stateChecksumToText>[0];
}
