/**
 * Pages in, frames and digests out: the work that import and push spend their time on, behind an interface that a pool of workers can implement
 * as well as this thread.
 */
import { assert } from "../base/assert.ts";
import type { PageIdx } from "../base/brand.ts";
import type { Codecs } from "./codecs.ts";
import { type EncodedFrame, encodeFrame } from "./frame.ts";
import { DIGEST_BYTES, type PageDigester } from "./hash.ts";

/** A batch of pages, made so that it can be transferred to a worker as it is: about 1 MiB of pages is a good size. */
export interface EncodeJob {
  /** Page indexes, ascending. */
  readonly pages: Uint32Array;
  /** The pages' bytes one after the other: pages.length * pageSize. The encoder owns them from now on. */
  readonly bytes: Uint8Array;
  readonly pageSize: number;
  /** Pages per frame. Only the last batch of a segment may hold a number of pages that is no multiple of it. */
  readonly framePages: number;
  /** The volume's digest seed, 16 bytes. */
  readonly seed: Uint8Array;
}

export interface EncodedBatch {
  readonly frames: readonly EncodedFrame[];
  /** 16 bytes per page, in their order. */
  readonly digests: Uint8Array;
  /** The job's `bytes`, where the encoder has no more need of them: memory for another job, its content is undefined. */
  readonly spent?: Uint8Array;
}

export interface FrameEncoder {
  encode(job: EncodeJob): Promise<EncodedBatch>;
}

/** One job, synchronously: what a worker runs. */
export function encodeBatch(codecs: Codecs, job: EncodeJob, digester: PageDigester): EncodedBatch {
  const { pages, bytes, pageSize, framePages } = job;
  assert(bytes.length === pages.length * pageSize, `${bytes.length} bytes for ${pages.length} pages`);
  const digests = new Uint8Array(pages.length * DIGEST_BYTES);
  for (let i = 0; i < pages.length; i++) {
    const page = bytes.subarray(i * pageSize, (i + 1) * pageSize);
    digester.digestInto(pages[i] as PageIdx, page, digests, i * DIGEST_BYTES);
  }
  const frames: EncodedFrame[] = [];
  const frameBytes = framePages * pageSize;
  for (let at = 0; at < bytes.length; at += frameBytes)
    frames.push(encodeFrame(codecs, bytes.subarray(at, at + frameBytes)));
  return { frames, digests };
}

/** Encodes on the calling thread. */
export function inlineFrameEncoder(codecs: Codecs): FrameEncoder {
  let seed: Uint8Array | undefined;
  let digester: PageDigester | undefined;
  return {
    async encode(job) {
      if (digester === undefined || seed === undefined || !job.seed.every((byte, i) => byte === seed?.[i])) {
        seed = job.seed.slice();
        digester = codecs.hash.pageDigests(seed);
      }
      return encodeBatch(codecs, job, digester);
    },
  };
}
