/**
 * Checks segments: that footer, read index, digest area and frames are those of one another, and that the frames hold the pages whose
 * digests they bring. Those that were checked when they came are remembered, so that their commit need not read them again.
 */
import type { Lsn, PageIdx, SegmentId, VolumeId } from "../../../src/base/brand.ts";
import { Lru } from "../../../src/base/lru.ts";
import { ByteReader, equalBytes } from "../../../src/format/bytes.ts";
import { frameRawLength } from "../../../src/format/frame.ts";
import type { StoredFrame } from "../../../src/format/frame-decoder.ts";
import { DIGEST_BYTES } from "../../../src/format/hash.ts";
import type { Manifest, ReadIndex, SegmentRef } from "../../../src/format/model.ts";
import { readPageSet } from "../../../src/format/page-set-codec.ts";
import {
  decodeReadIndex,
  decodeSegmentFooter,
  SEGMENT_FOOTER_BYTES,
} from "../../../src/format/segment-codec.ts";
import type { ServerContext } from "../context.ts";
import { asLie, decoding, lie } from "./lies.ts";

/** Pages (uncompressed) that are decoded together. */
const BATCH_BYTES = 2 ** 20;
const REMEMBERED = 65_536;

/** Segments of which every frame was checked, by their key: what proves them. */
export class VerifiedSegments {
  readonly #known = new Lru<string, string>(REMEMBERED);

  add(key: string, ref: SegmentRef): void {
    this.#known.set(key, proofOf(ref), 1);
  }

  has(key: string, ref: SegmentRef): boolean {
    return this.#known.get(key) === proofOf(ref);
  }

  forget(key: string): void {
    this.#known.delete(key);
  }
}

function proofOf({ length, indexHash, digestsHash }: SegmentRef): string {
  return `${length} ${indexHash} ${digestsHash}`;
}

export interface SegmentName {
  readonly volume: VolumeId;
  /** Of its commit; a compaction's has none, as checkpoints of several LSNs may name it. */
  readonly lsn: Lsn | undefined;
  readonly id: SegmentId;
}

type CheckContext = Pick<ServerContext, "codecs" | "decoder" | "runtime">;

/**
 * Checks a whole segment object.
 * @throws 422 where anything of it is not what it says
 */
export async function checkSegment(
  context: CheckContext,
  bytes: Uint8Array,
  name: SegmentName,
  manifest: Manifest,
): Promise<SegmentRef> {
  const from = name.lsn === undefined ? "a compaction" : `commit ${name.lsn}`;
  const what = `segment ${name.id} of ${from} of volume ${name.volume}`;
  const where = {
    volume: name.volume,
    segment: name.id,
    ...(name.lsn === undefined ? {} : { lsn: name.lsn }),
  };
  const { ref, index } = decoding(what, () => openSegment(context, bytes, name));
  if (index.pageSize !== manifest.pageSize) {
    throw lie(what, `its pages have ${index.pageSize} bytes, those of the volume ${manifest.pageSize}`);
  }
  const digests = part(bytes, ref.digests);
  await checkFrames(context, manifest, { index, digests, what, where }, async (first, last) =>
    bytes.subarray(first.offset, last.offset + last.length),
  );
  return ref;
}

/** Footer and read index of a whole segment object, and the reference that a header would carry. */
function openSegment(
  { codecs }: CheckContext,
  bytes: Uint8Array,
  name: SegmentName,
): { ref: SegmentRef; index: ReadIndex } {
  const what = `segment ${name.id}`;
  if (bytes.length <= SEGMENT_FOOTER_BYTES) throw lie(what, `it has only ${bytes.length} bytes`);
  const footer = decodeSegmentFooter(bytes.subarray(bytes.length - SEGMENT_FOOTER_BYTES), bytes.length);
  const isOther = footer.volume !== name.volume || footer.id !== name.id;
  if (isOther || (name.lsn !== undefined && footer.lsn !== name.lsn)) {
    throw lie(
      what,
      `its footer says segment ${footer.id} of commit ${footer.lsn} of volume ${footer.volume}`,
    );
  }
  const stored = part(bytes, footer.index);
  const pages = pagesOfIndex(stored);
  const ref: SegmentRef = {
    id: name.id,
    firstPage: pages.first as PageIdx,
    lastPage: pages.last as PageIdx,
    length: bytes.length,
    index: footer.index,
    indexHash: codecs.hash.blake3(stored),
    digests: footer.digests,
    digestsHash: codecs.hash.blake3(part(bytes, footer.digests)),
  };
  return { ref, index: decodeReadIndex(stored, ref) };
}

/** The page set of a read index, ahead of decoding it whole, which needs to know first and last page. */
function pagesOfIndex(stored: Uint8Array): { readonly first: number; readonly last: number } {
  const reader: ByteReader = new ByteReader(stored, "a read index", {});
  reader.u8("its mark");
  reader.u8("its version");
  reader.u32("the page size");
  reader.varint("the pages per frame");
  const { first, last } = readPageSet(reader);
  if (first === undefined || last === undefined) return reader.fail("it has no page");
  return { first, last };
}

export interface FrameCheck {
  readonly index: ReadIndex;
  /** The digest area. */
  readonly digests: Uint8Array;
  /** For messages. */
  readonly what: string;
  readonly where: Readonly<Record<string, string | number>>;
}

/** Reads the stored bytes from the first to the last of some frames that follow one another. */
type ReadFrames = (
  first: { readonly offset: number },
  last: { readonly offset: number; readonly length: number },
) => Promise<Uint8Array>;

/** Decodes all frames, and compares the digests of their pages with the digest area. @throws 422 */
export async function checkFrames(
  context: CheckContext,
  manifest: Manifest,
  check: FrameCheck,
  read: ReadFrames,
): Promise<void> {
  const { index } = check;
  const batchFrames = Math.max(1, Math.floor(BATCH_BYTES / (index.framePages * index.pageSize)));
  const batches: number[] = [];
  for (let frame = 0; frame < index.frameCount; frame += batchFrames) batches.push(frame);
  const { parallelism } = context.decoder;
  for (let i = 0; i < batches.length; i += parallelism) {
    // Others have their turn between: on one thread a large segment takes a while.
    if (i > 0) await context.runtime.sleep(0);
    await Promise.all(
      batches
        .slice(i, i + parallelism)
        .map((first) => checkBatch(context, manifest, check, read, first, batchFrames)),
    );
  }
}

async function checkBatch(
  { decoder }: CheckContext,
  manifest: Manifest,
  { index, digests, what, where }: FrameCheck,
  read: ReadFrames,
  first: number,
  count: number,
): Promise<void> {
  const refs = Array.from({ length: Math.min(count, index.frameCount - first) }, (_, i) =>
    index.frame(first + i),
  );
  const start = refs[0]!;
  const stored = await read(start, refs.at(-1)!);
  const frames: StoredFrame[] = refs.map((frame, i) => {
    const at = frame.offset - start.offset;
    const from = (first + i) * index.framePages;
    const pages = frameRawLength(index, first + i) / index.pageSize;
    return {
      frame,
      // The decoder may give the bytes to a worker, and others still need what they lie in.
      stored: stored.slice(at, at + frame.length),
      pages: Uint32Array.from(index.pages.slice(from, from + pages)),
      where: { ...where, frame: first + i },
    };
  });
  const decoded = await decoder
    .decode({ frames, pageSize: index.pageSize, digestSeed: manifest.digestSeed })
    .catch((error: unknown) => {
      throw asLie(what, error);
    });
  const from = first * index.framePages * DIGEST_BYTES;
  const same = equalBytes(decoded.digests, digests.subarray(from, from + decoded.digests.length));
  decoder.recycle?.(decoded.bytes);
  if (!same)
    throw lie(what, `the digests of the pages in its frames from ${first} on are not those it brings`);
}

function part(bytes: Uint8Array, { offset, length }: { offset: number; length: number }): Uint8Array {
  return bytes.subarray(offset, offset + length);
}
