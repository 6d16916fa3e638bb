/** Listings of what a caller may see, in byte order; volumes and tags that it may not see are passed over without being read. */

import type { VolumeId } from "../../src/base/brand.ts";
import { parseId } from "../../src/format/ids.ts";
import { checkPrefix } from "../../src/remote/keys.ts";
import type { ListEntry } from "../../src/remote/object-store.ts";
import type { ServerContext } from "./context.ts";
import { parseObjectKey } from "./object-keys.ts";
import { maySee } from "./object-read.ts";
import type { Principal } from "./principal.ts";

/** After every key that begins so far. */
const LAST = "\u{10ffff}";
const PAGE = 1000;

/** At most `limit` entries behind `after`. Fewer come only where there are no more. */
export async function listVisible(
  context: ServerContext,
  principal: Principal,
  options: { readonly prefix: string; readonly after: string; readonly limit: number },
  signal: AbortSignal,
): Promise<ListEntry[]> {
  const { prefix, limit } = options;
  checkPrefix(prefix);
  const seen = new Map<string, boolean>();
  const found: ListEntry[] = [];
  for (let startAfter = options.after; found.length < limit; ) {
    const asked = Math.min(PAGE, limit - found.length);
    const page = await context.origin.list(prefix, { startAfter, limit: asked, signal });
    let skipped: string | undefined;
    for (const entry of page) {
      startAfter = entry.key;
      const hidden = await hiddenPart(context, principal, entry.key, seen, signal);
      if (hidden === undefined) found.push(entry);
      else if (hidden !== "") {
        // The whole volume, or tag, is none of this caller's business: on behind it.
        skipped = `${hidden}${LAST}`;
        break;
      }
    }
    if (skipped !== undefined) startAfter = skipped;
    else if (page.length < asked) break;
  }
  return found;
}

/** Undefined where a key may be seen; else how all that is hidden with it begins, "" for the key alone. */
async function hiddenPart(
  context: ServerContext,
  principal: Principal,
  key: string,
  seen: Map<string, boolean>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const name = parseObjectKey(key);
  if (name === undefined) return "";
  if (name.kind === "tag") return (await maySee(context, principal, name, signal)) ? undefined : "";
  let visible = seen.get(name.volume);
  if (visible === undefined) {
    visible = await context.access.allows(principal, "read", name.volume);
    seen.set(name.volume, visible);
  }
  return visible ? undefined : `volumes/${name.volume}/`;
}

/** Ids of all volumes: one listing for each, and no more, however many objects they have. */
export async function allVolumes({ origin }: ServerContext, signal: AbortSignal): Promise<VolumeId[]> {
  const ids: VolumeId[] = [];
  for (let startAfter = ""; ; ) {
    const page = await origin.list("volumes/", { startAfter, limit: PAGE, signal });
    for (const { key } of page) {
      const [, id = "", name] = key.split("/");
      const volume = parseId<VolumeId>(id);
      if (volume !== undefined && name === "manifest") ids.push(volume);
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return ids;
    const [, id = "", folder = ""] = last.key.split("/");
    // A manifest lies behind the commits and before rollups and segments.
    startAfter = folder < "manifest" ? `volumes/${id}/${folder}/${LAST}` : `volumes/${id}/${LAST}`;
  }
}
