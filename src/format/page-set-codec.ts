/**
 * Page sets as bytes (FORMAT.md, "Page set"):
 *
 *     varint 2·n      then n runs, ascending, each:  varint 2·gap + more   [varint length - 2, where more = 1]
 *     varint 2·k + 1  then  varint first - 1, k bytes of bits: bit b of byte i stands for page first + 8·i + b
 *
 * gap = pages left out before the run (for the first run: first - 1; for later ones one less, as runs never touch). Whichever form is
 * shorter, runs on a tie, is the only valid one: so a set has exactly one encoding.
 */
import { assert } from "../base/assert.ts";
import { MAX_PAGE_COUNT } from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { ByteReader, ByteWriter, varintLength } from "./bytes.ts";
import { PageSet, PageSetBuilder } from "./page-set.ts";

export interface PageSetLimits {
  /** No page above this is accepted. */
  readonly maxPage: number;
}

export function encodePageSet(set: PageSet): Uint8Array {
  const writer = new ByteWriter(16 + 4 * set.runCount);
  writePageSet(writer, set);
  return writer.finish();
}

/** Decodes a page set that fills `bytes` exactly. */
export function decodePageSet(
  bytes: Uint8Array,
  limits: PageSetLimits = { maxPage: MAX_PAGE_COUNT },
  details: ErrorDetails = {},
): PageSet {
  const reader = new ByteReader(bytes, "a page set", details);
  const set = readPageSet(reader, limits);
  reader.end();
  return set;
}

export function writePageSet(writer: ByteWriter, set: PageSet): void {
  if (runsLength(set) <= bitmapLength(set)) writeRuns(writer, set);
  else writeBitmap(writer, set);
}

/** Reads one page set; allocates at most 32 bytes per byte read. */
export function readPageSet(
  reader: ByteReader,
  limits: PageSetLimits = { maxPage: MAX_PAGE_COUNT },
): PageSet {
  const maxPage = Math.min(limits.maxPage, MAX_PAGE_COUNT);
  const head = reader.varint("the head of a page set");
  const start = reader.offset;
  const count = Math.floor(head / 2);
  const asRuns = head % 2 === 0;
  const set = asRuns ? readRuns(reader, count, maxPage) : readBitmap(reader, count, maxPage);
  const length = varintLength(head) + (reader.offset - start);
  const canonical = asRuns ? length <= bitmapLength(set) : runsLength(set) > length;
  reader.check(canonical, "a page set is not in its shorter form");
  return set;
}

function writeRuns(writer: ByteWriter, set: PageSet): void {
  writer.varint(2 * set.runCount);
  let next = 1;
  for (let i = 0; i < set.runCount; i++) {
    const first = set.runFirst(i);
    const more = set.runLast(i) - first;
    writer.varint(2 * (first - next) + (more > 0 ? 1 : 0));
    if (more > 0) writer.varint(more - 1);
    next = first + more + 2;
  }
}

function readRuns(reader: ByteReader, count: number, maxPage: number): PageSet {
  reader.check(count <= reader.remaining, "a page set claims more runs than there are bytes");
  if (count === 0) return PageSet.empty;
  const bounds = new Uint32Array(2 * count);
  let next = 1;
  for (let i = 0; i < count; i++) {
    const head = reader.varint("a run of a page set");
    const first = next + Math.floor(head / 2);
    const last = head % 2 === 0 ? first : first + 1 + reader.varint("the length of a run of a page set");
    if (last > maxPage) reader.fail(`a page set goes to page ${last}, past ${maxPage}`);
    bounds[2 * i] = first;
    bounds[2 * i + 1] = last;
    next = last + 2;
  }
  return PageSet.fromBounds(bounds);
}

function runsLength(set: PageSet): number {
  let length = varintLength(2 * set.runCount);
  let next = 1;
  for (let i = 0; i < set.runCount; i++) {
    const first = set.runFirst(i);
    const more = set.runLast(i) - first;
    length += varintLength(2 * (first - next)) + (more > 0 ? varintLength(more - 1) : 0);
    next = first + more + 2;
  }
  return length;
}

function bitmapBytes(set: PageSet): number {
  return Math.floor((set.last! - set.first!) / 8) + 1;
}

function bitmapLength(set: PageSet): number {
  if (set.isEmpty) return Number.POSITIVE_INFINITY;
  const bytes = bitmapBytes(set);
  return varintLength(2 * bytes + 1) + varintLength(set.first! - 1) + bytes;
}

function writeBitmap(writer: ByteWriter, set: PageSet): void {
  assert(!set.isEmpty, "an empty page set is written as runs");
  const base = set.first!;
  const bits = new Uint8Array(bitmapBytes(set));
  for (let i = 0; i < set.runCount; i++) {
    const last = set.runLast(i) - base;
    for (let bit = set.runFirst(i) - base; bit <= last; bit++) {
      const at = Math.floor(bit / 8);
      bits[at] = bits[at]! | (1 << (bit % 8));
    }
  }
  writer
    .varint(2 * bits.length + 1)
    .varint(base - 1)
    .bytes(bits);
}

function readBitmap(reader: ByteReader, count: number, maxPage: number): PageSet {
  reader.check(count >= 1 && count < reader.remaining, "a page set claims more bits than there are bytes");
  const base = reader.varint("the first page of a page set") + 1;
  const bits = reader.bytes(count, "the bits of a page set");
  const lastByte = bits[count - 1]!;
  reader.check((bits[0]! & 1) === 1 && lastByte !== 0, "a page set has empty bits at an end");
  const last = base + 8 * (count - 1) + (31 - Math.clz32(lastByte));
  reader.check(last <= maxPage, `a page set goes to page ${last}, past ${maxPage}`);
  const builder = new PageSetBuilder();
  let runStart = -1;
  for (let i = 0; i < count; i++) {
    const byte = bits[i]!;
    if (byte === 0xff ? runStart >= 0 : byte === 0 && runStart < 0) continue;
    for (let bit = 0; bit < 8; bit++) {
      const set = (byte & (1 << bit)) !== 0;
      if (set && runStart < 0) runStart = base + 8 * i + bit;
      else if (!set && runStart >= 0) {
        builder.addRun(runStart, base + 8 * i + bit - 1);
        runStart = -1;
      }
    }
  }
  if (runStart >= 0) builder.addRun(runStart, last);
  return builder.build();
}
