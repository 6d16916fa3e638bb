/**
 * Bundles on the wire (docs/protocol.md, "Bundle"): many objects, ranges of them and listings as one stream. Sizes are checked before anything
 * is allocated; a stream that ends without its end entry is told as cut off, and everything before it holds.
 *
 *     bundle  "PFB1" entry* end
 *     entry   kind u8 | keyBytes u16 | offset u64 | total u64 | bytes u32 | key (UTF-8) | payload
 */
import { assert } from "../../base/assert.ts";
import { PagefoldError } from "../../base/errors.ts";
import type { StoredBytes, StoredListing } from "../object-store.ts";

export const BUNDLE_TYPE = "application/vnd.pagefold.bundle";

export type BundleEntry =
  | ({ readonly kind: "bytes" } & StoredBytes)
  | { readonly kind: "absent"; readonly key: string }
  | ({ readonly kind: "listing" } & StoredListing)
  | { readonly kind: "note"; readonly name: string; readonly value: unknown }
  /** The sender could not go on; `problem` is an object of RFC 9457. */
  | { readonly kind: "failure"; readonly problem: unknown };

const MAGIC = 0x31424650; // "PFB1", little-endian
const HEAD_BYTES = 23;
const KINDS = { end: 0, bytes: 1, absent: 2, listing: 3, note: 4, failure: 5 } as const;
const MAX_KEY_BYTES = 4096;
/** The largest object that is sent whole: a segment. */
const MAX_PAYLOAD_BYTES = 96 * 2 ** 20;
const TWO_32 = 2 ** 32;

const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true });

/** The first bytes of a bundle. */
export function bundleStart(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, MAGIC, true);
  return bytes;
}

/** The head of an entry and its payload, as two pieces: the payload is not copied. */
export function encodeBundleEntry(entry: BundleEntry): readonly Uint8Array[] {
  switch (entry.kind) {
    case "bytes":
      return [head(KINDS.bytes, entry.key, entry.offset, entry.total, entry.bytes.length), entry.bytes];
    case "absent":
      return [head(KINDS.absent, entry.key, 0, 0, 0)];
    case "listing":
      return withJson(KINDS.listing, entry.prefix, entry.entries, entry.complete ? 1 : 0);
    case "note":
      return withJson(KINDS.note, entry.name, entry.value, 0);
    case "failure":
      return withJson(KINDS.failure, "", entry.problem, 0);
  }
}

/** @param count entries before it */
export function bundleEnd(count: number): Uint8Array {
  return head(KINDS.end, "", count, 0, 0);
}

/** A whole bundle in memory. */
export function encodeBundle(entries: Iterable<BundleEntry>): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = [bundleStart()];
  let count = 0;
  for (const entry of entries) {
    pieces.push(...encodeBundleEntry(entry));
    count++;
  }
  pieces.push(bundleEnd(count));
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function withJson(kind: number, key: string, value: unknown, total: number): readonly Uint8Array[] {
  const payload = utf8.encode(JSON.stringify(value));
  return [head(kind, key, 0, total, payload.length), payload];
}

function head(kind: number, key: string, offset: number, total: number, length: number): Uint8Array {
  const keyBytes = utf8.encode(key);
  assert(keyBytes.length <= MAX_KEY_BYTES, `a key of ${keyBytes.length} bytes in a bundle`);
  assert(length <= MAX_PAYLOAD_BYTES, `a payload of ${length} bytes in a bundle`);
  const bytes = new Uint8Array(HEAD_BYTES + keyBytes.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, kind);
  view.setUint16(1, keyBytes.length, true);
  view.setUint32(3, offset % TWO_32, true);
  view.setUint32(7, Math.floor(offset / TWO_32), true);
  view.setUint32(11, total % TWO_32, true);
  view.setUint32(15, Math.floor(total / TWO_32), true);
  view.setUint32(19, length, true);
  bytes.set(keyBytes, HEAD_BYTES);
  return bytes;
}

/** Chunks as they came, handed out in the pieces that are asked for. */
class ChunkReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterator<Uint8Array>) {
    this.#chunks = chunks;
  }

  /** Exactly so many bytes, or undefined where the stream ends before. They may be part of a chunk: copy what is kept. */
  async take(length: number): Promise<Uint8Array | undefined> {
    if (this.#rest.length >= length) return this.#cut(length);
    const pieces = [this.#rest];
    let have = this.#rest.length;
    while (have < length) {
      const { done, value } = await this.#chunks.next();
      if (done === true) return undefined;
      pieces.push(value);
      have += value.length;
    }
    const joined = new Uint8Array(have);
    let at = 0;
    for (const piece of pieces) {
      joined.set(piece, at);
      at += piece.length;
    }
    this.#rest = joined;
    return this.#cut(length);
  }

  #cut(length: number): Uint8Array {
    const piece = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return piece;
  }
}

/**
 * The entries of a bundle as they arrive, at most one payload in memory at a time. A `failure` is an entry like any other.
 * @param limits.payloadBytes largest payload that is accepted
 * @throws `corrupt` where the bytes are no bundle, `unavailable` where the stream ends before its end entry
 */
export async function* decodeBundle(
  chunks: AsyncIterable<Uint8Array>,
  limits: { readonly payloadBytes?: number } = {},
): AsyncGenerator<BundleEntry, void, undefined> {
  const source = chunks[Symbol.asyncIterator]();
  const reader = new ChunkReader(source);
  try {
    const start = await needed(reader, 4);
    if (viewOf(start).getUint32(0, true) !== MAGIC) throw noBundle("it does not start like one");
    for (let count = 0; ; count++) {
      const fixed = (await needed(reader, HEAD_BYTES)).slice();
      const view = viewOf(fixed);
      const kind = view.getUint8(0);
      const keyBytes = view.getUint16(1, true);
      const offset = view.getUint32(3, true) + view.getUint32(7, true) * TWO_32;
      const total = view.getUint32(11, true) + view.getUint32(15, true) * TWO_32;
      const length = view.getUint32(19, true);
      if (keyBytes > MAX_KEY_BYTES) throw noBundle(`a key of ${keyBytes} bytes`);
      if (length > (limits.payloadBytes ?? MAX_PAYLOAD_BYTES)) throw noBundle(`an entry of ${length} bytes`);
      if (kind === KINDS.end) {
        if (offset !== count) throw noBundle(`its end tells of ${offset} entries after ${count}`);
        return;
      }
      const key = decodeText(await needed(reader, keyBytes));
      // The caller keeps it; the memory of the chunk it came in may be much more.
      const payload = (await needed(reader, length)).slice();
      yield entryOf(kind, key, offset, total, payload);
    }
  } finally {
    await source.return?.();
  }
}

function entryOf(kind: number, key: string, offset: number, total: number, payload: Uint8Array): BundleEntry {
  switch (kind) {
    case KINDS.bytes:
      if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(total) || offset + payload.length > total) {
        throw noBundle(`${payload.length} bytes at ${offset} of an object of ${total}`);
      }
      return { kind: "bytes", key, offset, total, bytes: payload };
    case KINDS.absent:
      return { kind: "absent", key };
    case KINDS.listing:
      return {
        kind: "listing",
        prefix: key,
        entries: listEntries(decodeJson(payload)),
        complete: total === 1,
      };
    case KINDS.note:
      return { kind: "note", name: key, value: decodeJson(payload) };
    case KINDS.failure:
      return { kind: "failure", problem: decodeJson(payload) };
    default:
      throw noBundle(`an entry of the unknown kind ${kind}`);
  }
}

function listEntries(value: unknown): StoredListing["entries"] {
  const entries = Array.isArray(value) ? (value as readonly unknown[]) : undefined;
  if (entries?.every(isListEntry) !== true) throw noBundle("a listing that is none");
  return entries.map(({ key, size }) => ({ key, size }));
}

function isListEntry(value: unknown): value is { readonly key: string; readonly size: number } {
  const entry = value as { readonly key?: unknown; readonly size?: unknown } | null;
  return typeof entry?.key === "string" && Number.isSafeInteger(entry.size) && Number(entry.size) >= 0;
}

async function needed(reader: ChunkReader, length: number): Promise<Uint8Array> {
  const bytes = await reader.take(length);
  if (bytes !== undefined) return bytes;
  throw new PagefoldError(
    "unavailable",
    "a bundle was cut off before its end; ask for what is missing again",
    {
      details: { cutOff: true },
    },
  );
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function decodeText(bytes: Uint8Array): string {
  try {
    return text.decode(bytes);
  } catch (error) {
    throw noBundle("a key that is no UTF-8", error);
  }
}

function decodeJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(text.decode(bytes));
  } catch (error) {
    throw noBundle("an entry that is no JSON", error);
  }
}

function noBundle(problem: string, cause?: unknown): PagefoldError {
  return new PagefoldError(
    "corrupt",
    `what was answered is no bundle of this version: ${problem}; check that the address is that of a Pagefold server`,
    cause === undefined ? {} : { cause },
  );
}
