/** Memory of the wasm heap for the calls into SQLite. Where there is none left, that is `quota`, not the package's own error. The caller frees it. */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { PagefoldError } from "../../src/base/errors.ts";

type Wasm = Sqlite3Static["wasm"];

/** @throws `quota` */
export function allocate(wasm: Wasm, bytes: number): number {
  const pointer = wasm.alloc.impl(bytes);
  if (pointer !== 0) return pointer;
  throw new PagefoldError(
    "quota",
    `SQLite has no memory left for ${bytes} bytes; ask for less at once, or close the database and open it again`,
  );
}

/** As UTF-8 that ends with a NUL. @throws `quota` */
export function allocateText(wasm: Wasm, text: string): number {
  const bytes = new TextEncoder().encode(text);
  const pointer = allocate(wasm, bytes.length + 1);
  const heap = wasm.heap8u();
  heap.set(bytes, pointer);
  heap[pointer + bytes.length] = 0;
  return pointer;
}
