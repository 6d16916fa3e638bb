/**
 * How keys become names of files. A key is its own relative path, so that the directory can be read by people and served by
 * any static web server; only parts that a file system would not take are written otherwise, all marked by a leading `%`:
 *
 *   %25rest        a part that begins with "%" itself: "%rest"
 *   %.tmp          the part ".tmp" at the top, where the store's own temporary files are
 *   %+head/%=tail  a part of more than 240 bytes, cut into directories: "headtail" (%+ may repeat)
 *
 * On a file system that ignores case, keys that differ only in case are one file: keep tags lower case there. The engine's own
 * keys are lower case throughout.
 */
import { utf8Length } from "../remote/keys.ts";

/** Longest name used, bytes of UTF-8 without the mark; file systems take 255. */
const MAX_NAME_BYTES = 240;

/** The directory of temporary files, at the top of the store. */
export const TEMP_DIR = ".tmp";

/** The path of a key relative to the store's directory, with "/" between the parts. */
export function keyToPath(key: string): string {
  // Nearly every key is its own path.
  if (key.length <= MAX_NAME_BYTES / 3 && !key.includes("%") && !key.startsWith(TEMP_DIR)) return key;
  return key
    .split("/")
    .map((part, i) => partToNames(part, i === 0))
    .join("/");
}

function partToNames(part: string, top: boolean): string {
  if (utf8Length(part) > MAX_NAME_BYTES) {
    const pieces = cut(part);
    return pieces.map((piece, i) => (i === pieces.length - 1 ? `%=${piece}` : `%+${piece}`)).join("/");
  }
  if (top && part === TEMP_DIR) return `%${TEMP_DIR}`;
  return part.startsWith("%") ? `%25${part.slice(1)}` : part;
}

/** Pieces of at most MAX_NAME_BYTES, cut between code points. */
function cut(part: string): string[] {
  const pieces: string[] = [];
  let piece = "";
  let bytes = 0;
  for (const c of part) {
    const more = utf8Length(c);
    if (bytes + more > MAX_NAME_BYTES) {
      pieces.push(piece);
      piece = "";
      bytes = 0;
    }
    piece += c;
    bytes += more;
  }
  pieces.push(piece);
  return pieces;
}

/** What a name in a directory stands for; `undefined` where no key of ours can have it. */
export function nameToPart(
  name: string,
  top: boolean,
): { readonly part: string; readonly partial: boolean } | undefined {
  if (top && name === TEMP_DIR) return undefined;
  if (!name.startsWith("%")) return { part: name, partial: false };
  if (name.startsWith("%+")) return { part: name.slice(2), partial: true };
  if (name.startsWith("%=")) return { part: name.slice(2), partial: false };
  if (name.startsWith("%25")) return { part: `%${name.slice(3)}`, partial: false };
  return top && name === `%${TEMP_DIR}` ? { part: TEMP_DIR, partial: false } : undefined;
}
