/** How a replica begins: of a volume that is new to this store, at LSN 0; of a fork made here, where its parent stands. No I/O. */
import type { Lsn } from "../base/brand.ts";
import type { Hasher } from "../format/hash.ts";
import { decodeManifest } from "../format/manifest-codec.ts";
import { forkPoint } from "../format/model.ts";
import type { SharedPages } from "../local/fork-records.ts";
import { CommitDirectory } from "./commit-directory.ts";
import { LocalCommits } from "./local-commits.ts";
import { emptyState } from "./remote-state.ts";
import type { Replica } from "./replica.ts";

/**
 * @param parent of a fork that was made on this side, from this very history: what is known and cached of the commits up to the fork
 * point serves the fork too, and where the parent stands there, the fork starts there
 */
export function newReplica(
  handle: number,
  manifestBytes: Uint8Array,
  hash: Hasher,
  parent?: Replica,
): Replica {
  const manifest = decodeManifest(manifestBytes);
  const manifestHash = hash.blake3(manifestBytes);
  const through = forkPoint(manifest);
  const elder = through === 0 ? undefined : parent;
  const originHash = through === 0 ? manifestHash : undefined;
  const start =
    elder?.state.base.lsn === through
      ? { base: elder.state.base, baseHeader: elder.state.baseHeader }
      : { base: emptyState(originHash, manifest.createdAt), baseHeader: undefined };
  return {
    handle,
    manifest,
    originHash,
    manifestBytes,
    directory: new CommitDirectory(
      manifest,
      elder === undefined ? undefined : { directory: elder.directory, through },
    ),
    tags: new Set(),
    shared: elder === undefined ? [] : sharedWith(elder, through),
    state: {
      ...start,
      commits: LocalCommits.none,
      table: start.base.table,
      intent: undefined,
      forkPlan: undefined,
      nextSequence: 1,
      epoch: 0,
    },
  };
}

/** The parent's pages, and what the parent itself shares, up to the fork point. */
function sharedWith(parent: Replica, through: Lsn): SharedPages[] {
  const older = parent.shared.map((each) => ({
    ...each,
    through: Math.min(each.through, through) as Lsn,
  }));
  return [{ through, handle: parent.handle }, ...older];
}
