/** Digests of pages that are here: computed, so that nothing is fetched for them. */
import { isZeroPage } from "../format/checksum.ts";
import { cacheHandle } from "../volume/cached-pages.ts";
import type { ReplicaContext } from "./context.ts";
import type { ResidentDigest } from "./digests.ts";

export function residentDigests({ replica, cache, codecs }: ReplicaContext): ResidentDigest {
  const digester = codecs.hash.pageDigests(replica.manifest.digestSeed);
  return (page, lsn, out, offset) => {
    const bytes = cache.get(cacheHandle(replica, lsn), page, lsn);
    if (bytes === undefined) return false;
    // A page of zeros has none.
    if (!isZeroPage(bytes)) digester.digestInto(page, bytes, out, offset);
    return true;
  };
}
