/**
 * Lists of commits with the pages that each wrote last, newest first, as rollups and the headers of restoring commits hold them (FORMAT.md,
 * "Rollups and jumps"):
 *
 *     varint writers · each: varint (previous LSN - 1 - LSN; for the first: top - LSN) · commit hash 32 · page set, not empty
 *
 * What `top` is follows from where the list stands. A hash of zeros means that whoever wrote the list did not know it.
 */
import { assert } from "../base/assert.ts";
import type { Hash, Lsn } from "../base/brand.ts";
import { type ByteReader, type ByteWriter, fromHex } from "./bytes.ts";
import { HASH_BYTES } from "./hash.ts";
import type { PageWriter } from "./model.ts";
import { PageSet } from "./page-set.ts";
import { type PageSetLimits, readPageSet, writePageSet } from "./page-set-codec.ts";

const WRITER_BYTES_LEAST = 1 + HASH_BYTES + 2;
const UNKNOWN_HASH = "0".repeat(2 * HASH_BYTES);

export function writeWriters(writer: ByteWriter, writers: readonly PageWriter[], top: number): void {
  writer.varint(writers.length);
  let next = top;
  for (const { lsn, hash, pages } of writers) {
    assert(lsn >= 1 && lsn <= next && !pages.isEmpty, `writer ${lsn} in a list of writers up to ${next}`);
    writer.varint(next - lsn).bytes(fromHex(hash ?? UNKNOWN_HASH));
    writePageSet(writer, pages);
    next = lsn - 1;
  }
}

export function readWriters(reader: ByteReader, top: number, limits?: PageSetLimits): PageWriter[] {
  const count = reader.varint("the number of writers", top);
  reader.check(count * WRITER_BYTES_LEAST <= reader.remaining, "it claims more writers than there are bytes");
  const writers: PageWriter[] = [];
  let next = top;
  for (let i = 0; i < count; i++) {
    const lsn = next - reader.varint("a writer's LSN");
    reader.check(lsn >= 1, "a writer from before the first commit");
    const hash = reader.hex(HASH_BYTES, "a writer's hash") as Hash;
    const pages = readPageSet(reader, limits);
    reader.check(!pages.isEmpty, "a writer without pages");
    writers.push({ lsn: lsn as Lsn, hash: hash === UNKNOWN_HASH ? undefined : hash, pages });
    next = lsn - 1;
  }
  reader.check(PageSet.areDisjoint(writers.map((writer) => writer.pages)), "a page with two last writers");
  return writers;
}
