/** The checkpoint that a new commit names in its header: whoever reads that commit may believe it. */
import { decodeCommit } from "../format/commit-codec.ts";
import type { CommitHeader } from "../format/model.ts";
import type { RemoteState } from "../volume/remote-state.ts";
import type { ReplicaContext } from "./context.ts";

/** The newest one that is known and lies below the commit; never an older one than its parent named. */
export function anchorOf(context: ReplicaContext, parent: RemoteState): CommitHeader["checkpoint"] {
  const named = headerOf(context, parent)?.checkpoint;
  const { checkpoint } = context;
  if (checkpoint === undefined || checkpoint.lsn > parent.lsn) return named;
  return named === undefined || checkpoint.lsn >= named.lsn ? checkpoint : named;
}

function headerOf({ replica, codecs }: ReplicaContext, { lsn, hash }: RemoteState): CommitHeader | undefined {
  const known = replica.directory.commit(lsn);
  if (known !== undefined && known.hash === hash) return known.header;
  const { base, baseHeader } = replica.state;
  if (base.hash !== hash || baseHeader === undefined) return undefined;
  return decodeCommit(baseHeader, codecs.hash).header;
}
