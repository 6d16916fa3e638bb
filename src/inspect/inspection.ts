/**
 * Everything that is shown of a volume, as one JSON document: what `pagefold inspect --json` prints and the pictures are drawn from. Members are only
 * added under one version number; a reader ignores those that it does not know.
 */
import type { ReplicaStatus } from "../replicate/fetch.ts";
import type { Volume } from "../store/volume.ts";
import type { Snapshot } from "../volume/snapshot.ts";
import { type CommitFigures, commitFiguresOf } from "./commit-figures.ts";
import type { QueryFigures } from "./fault-log.ts";
import { type HistoryFigures, historyFiguresOf } from "./history-figures.ts";
import { type Residency, residencyOf } from "./residency.ts";

export const INSPECTION_FORMAT = "pagefold-inspection";
export const INSPECTION_VERSION = 1;

/** Where this side stands against the remote log, as of the last fetch. */
export interface Lag {
  readonly state: "clean" | "ahead" | "behind" | "diverged";
  /** The remote commit that the replica stands on, and the newest one that it knows of. */
  readonly lsn: number;
  readonly remoteLsn: number;
  /** Local commits that were not pushed; remote commits that were not pulled. */
  readonly ahead: number;
  readonly behind: number;
  /** A push was begun and its outcome is not known. */
  readonly pendingPush: boolean;
}

/** What a volume says of itself. */
export interface VolumeFigures {
  readonly volume: string;
  readonly pageSize: number;
  /** The state that is shown: its remote commit, and local commits on top of it. */
  readonly lsn: number;
  readonly localCommits: number;
  readonly byteLength: number;
  readonly lag: Lag;
  readonly residency: Residency;
  /** Newest first. */
  readonly commits: readonly CommitFigures[];
  /** null where it was not asked for. */
  readonly history: HistoryFigures | null;
}

/** Which table or index each page belongs to, for a database; the map has the cells of the residency. */
export interface TableFigures {
  readonly lsn: number;
  readonly pagesPerCell: number;
  /** Most pages first. */
  readonly tables: readonly { readonly name: string; readonly pages: number }[];
  /** For each cell the index in `tables` of the one with the most pages there; -1 where no table has any. */
  readonly cells: readonly number[];
  /** Pages of the volume that are no table's: free, lock-byte and pointer-map pages. */
  readonly otherPages: number;
}

export interface Inspection extends VolumeFigures {
  readonly format: typeof INSPECTION_FORMAT;
  readonly version: typeof INSPECTION_VERSION;
  /** The tag or id under which it was asked for, and where. */
  readonly name: string;
  readonly store: string;
  /** Milliseconds since 1970. */
  readonly takenAt: number;
  /** Whether the remote was asked for its newest commits just before. */
  readonly asked: boolean;
  /** null where no query was watched. */
  readonly query: QueryFigures | null;
  /** null where they were not asked for. */
  readonly tables: TableFigures | null;
}

export interface InspectOptions {
  readonly signal?: AbortSignal;
  /** Cells of the map at most; default 4096. */
  readonly cells?: number;
  /** How many commits, newest first; default 0, which makes no request. */
  readonly commits?: number;
  /** Whether to tell what is kept of the log, which asks the remote; default false. */
  readonly history?: boolean;
  /** The state to show; default: the newest on this side. It stays the caller's. */
  readonly snapshot?: Snapshot;
}

/** The figures of a volume as of now. Reads no page; commits that are not known here are fetched. */
export async function inspectVolume(volume: Volume, options: InspectOptions = {}): Promise<VolumeFigures> {
  const { signal, cells, commits: limit = 0 } = options;
  const commits = await commitFiguresOf(volume, { limit, ...(signal === undefined ? {} : { signal }) });
  const history = options.history === true ? await historyFiguresOf(volume, options) : null;
  const snapshot = options.snapshot ?? volume.snapshot();
  try {
    const { lsn, localCommits, byteLength, pageSize } = snapshot;
    const residency = residencyOf(snapshot, cells === undefined ? {} : { cells });
    const lag = lagOf(volume.status());
    return { volume: volume.id, pageSize, lsn, localCommits, byteLength, lag, residency, commits, history };
  } finally {
    if (options.snapshot === undefined) snapshot.close();
  }
}

function lagOf({ state, lsn, remoteLsn, ahead, behind, pendingPush }: ReplicaStatus): Lag {
  return { state, lsn, remoteLsn, ahead, behind, pendingPush };
}
