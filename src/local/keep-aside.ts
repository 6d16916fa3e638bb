/** Copies a damaged file under another name before anyone may cut it, so that nothing is lost that a person could still use. */
import type { BlockFile, BlockFileSystem } from "./block-file.ts";

const COPY_BYTES = 1024 * 1024;

/**
 * Copies `file` to `<name>.corrupt-<n>` in the same place and flushes it; a copy with equal bytes that exists already is used again, so
 * that reopening in a loop does not fill the disk. Returns the copy's name.
 */
export async function keepAside(files: BlockFileSystem, name: string, file: BlockFile): Promise<string> {
  for (let n = 1; ; n++) {
    const copyName = `${name}.corrupt-${n}`;
    const exists = await files.exists(copyName);
    const copy = await files.open(copyName);
    try {
      if (exists) {
        if (sameBytes(file, copy)) return copyName;
        continue;
      }
      copyBytes(file, copy);
      copy.flush();
      await copy.durable();
      return copyName;
    } finally {
      await copy.close();
    }
  }
}

function copyBytes(from: BlockFile, to: BlockFile): void {
  const buffer = new Uint8Array(COPY_BYTES);
  for (let at = 0; at < from.size(); ) {
    const n = from.readAt(at, buffer);
    if (n === 0) return;
    to.writeAt(at, buffer.subarray(0, n));
    at += n;
  }
}

function sameBytes(a: BlockFile, b: BlockFile): boolean {
  if (a.size() !== b.size()) return false;
  const [x, y] = [new Uint8Array(COPY_BYTES), new Uint8Array(COPY_BYTES)];
  for (let at = 0; at < a.size(); ) {
    const n = a.readAt(at, x);
    if (n === 0 || b.readAt(at, y) !== n) return false;
    for (let i = 0; i < n; i++) if (x[i] !== y[i]) return false;
    at += n;
  }
  return true;
}
