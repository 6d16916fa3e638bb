/**
 * A commit of the log that the replica knows the newest of, proven: down the skip list by headers alone, each named by the hash that the one above it
 * carries. What `log`, `diff` and whoever wants a header out of the middle of the log begin with.
 */

import { assert } from "../../base/assert.ts";
import type { Lsn } from "../../base/brand.ts";
import { type DecodedCommit, decodeCommit } from "../../format/commit-codec.ts";
import { pathDown } from "../../format/jumps.ts";
import { loadCommits, proveCommit } from "../../replicate/commit-lookup.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { keptCommit } from "../../replicate/kept.ts";
import { stateOf } from "../../replicate/past.ts";
import { hashOf } from "../../volume/remote-state.ts";

type Options = { readonly signal?: AbortSignal };

/**
 * The commit at an LSN from 1 to the replica's. At most 2·log2(n) requests in one round trip; where headers have fewer jumps than their LSNs could
 * have, a round trip more for each.
 * @throws `corrupt` where the log does not name it, `not_found` where it was collected
 */
export async function provenCommit(
  context: ReplicaContext,
  lsn: Lsn,
  options: Options = {},
): Promise<DecodedCommit> {
  const { frames, fetcher, replica, codecs } = context;
  const { base, baseHeader } = replica.state;
  assert(lsn >= 1 && lsn <= base.lsn, `commit ${lsn} of a log of ${base.lsn}`);
  const { directory } = replica;
  if (directory.commit(base.lsn) === undefined) {
    directory.learn(decodeCommit(baseHeader!, codecs.hash, { lsn: base.lsn, hash: hashOf(base) }));
  }
  const path = [...pathDown(base.lsn, lsn).map((jump) => jump.lsn), lsn];
  const loaded = await fetcher.run(loadCommits(frames, path, { mayBeGone: true }), options.signal);
  if (loaded.size < path.length) {
    // Below the floor its word counts.
    const kept = await keptCommit(context, lsn, options);
    if (kept !== undefined) return kept;
    // Says what is kept instead, where that is why commits are missing.
    await stateOf(context, lsn, options);
  }
  let at = proveCommit(frames, loaded.get(base.lsn)!, hashOf(base));
  while (at.header.lsn > lsn) {
    const { jumpHashes } = at.header;
    let step = jumpHashes.length - 1;
    while (2 ** step > at.header.lsn - lsn) step--;
    const next = (at.header.lsn - 2 ** step) as Lsn;
    const commit =
      loaded.get(next) ?? (await fetcher.run(loadCommits(frames, [next]), options.signal)).get(next)!;
    at = proveCommit(frames, commit, jumpHashes[step]!);
  }
  return at;
}
