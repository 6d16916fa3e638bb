/** What is kept of a volume's log, in figures of bounded size. */
import type { KeptState } from "../history/keep/kept-history.ts";
import type { Volume } from "../store/volume.ts";

/** A state that can be read without older commits. */
export interface StateFigures {
  readonly lsn: number;
  /** Of its commit, milliseconds since 1970. */
  readonly time: number;
}

export interface HistoryFigures {
  /** Every state from this LSN on is kept; 0: all are. */
  readonly floorLsn: number;
  /** When that was decided, milliseconds since 1970; null where nothing was ever compacted or collected. */
  readonly floorTime: number | null;
  /** How many states below the floor are kept all the same, and the newest `STATES_MAX` of them, newest first. */
  readonly keptBelowCount: number;
  readonly keptBelow: readonly StateFigures[];
  /** Checkpoints from the floor on, newest first, likewise. */
  readonly checkpointCount: number;
  readonly checkpoints: readonly StateFigures[];
  /** The segments that the newest checkpoint reads from, and how many of the pages in them it shows. */
  readonly segments: {
    readonly count: number;
    readonly storedBytes: number;
    readonly pages: number;
    readonly livePages: number;
  };
}

export const STATES_MAX = 64;

export async function historyFiguresOf(
  volume: Volume,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<HistoryFigures> {
  const { floor, below, checkpoints, segments } = await volume.kept(signal === undefined ? {} : { signal });
  const { count, bytes: storedBytes, pages, livePages } = segments;
  return {
    floorLsn: floor?.lsn ?? 0,
    floorTime: floor?.time ?? null,
    keptBelowCount: below.length,
    keptBelow: newest(below),
    checkpointCount: checkpoints.length,
    checkpoints: newest(checkpoints),
    segments: { count, storedBytes, pages, livePages },
  };
}

function newest(states: readonly KeptState[]): StateFigures[] {
  return states.slice(-STATES_MAX).reverse();
}
