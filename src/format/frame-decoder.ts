/**
 * Verifying and decompressing many frames at a time, apart from where it runs: on the caller's thread here, in workers in
 * `src/node`. Only what bulk reading needs; a single fault decodes in place.
 */
import type { PageIdx } from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { isZeroPage } from "./checksum.ts";
import type { Codecs } from "./codecs.ts";
import { decodeFrame } from "./frame.ts";
import { DIGEST_BYTES } from "./hash.ts";
import type { FrameRef } from "./model.ts";

export interface StoredFrame {
  readonly frame: FrameRef;
  /** The frame's bytes as they arrived, unverified. */
  readonly stored: Uint8Array;
  /** The pages in it, ascending. */
  readonly pages: Uint32Array;
  /** For errors. */
  readonly where: ErrorDetails;
}

export interface DecodeJob {
  readonly frames: readonly StoredFrame[];
  readonly pageSize: number;
  readonly digestSeed: Uint8Array;
}

export interface DecodedFrames {
  /** All pages of all frames back to back, in the order of the job. */
  readonly bytes: Uint8Array;
  /** 16 bytes per page, computed from `bytes`; zeros for a page of zeros. */
  readonly digests: Uint8Array;
}

export interface FrameDecoder {
  /** How many jobs may run at a time. */
  readonly parallelism: number;
  /** @throws `corrupt` naming the first bad frame. The job's `stored` bytes may be gone afterwards (transferred). */
  decode(job: DecodeJob): Promise<DecodedFrames>;
  /** Takes the `bytes` of an answer that nobody reads any more, whole, for another job to write into. */
  recycle?(bytes: Uint8Array): void;
}

/** Decodes on the caller's thread. */
export function inlineFrameDecoder(codecs: Codecs): FrameDecoder {
  return { parallelism: 1, decode: async (job) => decodeFrames(codecs, job) };
}

/** @param reuse memory for the answer, where it is large enough */
export function decodeFrames(codecs: Codecs, job: DecodeJob, reuse?: Uint8Array): DecodedFrames {
  const { pageSize } = job;
  const pageCount = job.frames.reduce((sum, { pages }) => sum + pages.length, 0);
  const byteLength = pageCount * pageSize;
  const bytes =
    reuse !== undefined && reuse.length >= byteLength
      ? reuse.subarray(0, byteLength)
      : new Uint8Array(byteLength);
  const digests = new Uint8Array(pageCount * DIGEST_BYTES);
  const digester = codecs.hash.pageDigests(job.digestSeed);
  let done = 0;
  for (const { frame, stored, pages, where } of job.frames) {
    bytes.set(decodeFrame(codecs, frame, stored, pages.length * pageSize, where), done * pageSize);
    for (const page of pages) {
      const content = bytes.subarray(done * pageSize, (done + 1) * pageSize);
      if (!isZeroPage(content)) digester.digestInto(page as PageIdx, content, digests, done * DIGEST_BYTES);
      done++;
    }
  }
  return { bytes, digests };
}
