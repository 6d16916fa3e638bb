/** A snapshot as a web stream of bytes. */
import { checkRange, type Snapshot } from "../volume/snapshot.ts";

/** Bytes per chunk: a few frames. */
const CHUNK_BYTES = 262_144;

export interface StreamOptions {
  /** First byte; default 0. */
  readonly offset?: number;
  /** Bytes at most; default to the end. */
  readonly length?: number;
  readonly signal?: AbortSignal;
}

/** `ended` is called once, when the stream is done with the snapshot, whichever way. */
export function streamOf(
  snapshot: Snapshot,
  options: StreamOptions,
  ended: () => void,
): ReadableStream<Uint8Array> {
  const offset = options.offset ?? 0;
  checkRange(offset, options.length ?? 0);
  const end = Math.min(
    snapshot.byteLength,
    options.length === undefined ? snapshot.byteLength : offset + options.length,
  );
  const cancelled = new AbortController();
  const signal =
    options.signal === undefined ? cancelled.signal : AbortSignal.any([options.signal, cancelled.signal]);
  let at = offset;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        if (at >= end) {
          controller.close();
          ended();
          return;
        }
        const bytes = await snapshot.read(at, Math.min(CHUNK_BYTES, end - at), { signal });
        at += bytes.length;
        controller.enqueue(bytes);
      } catch (error) {
        ended();
        throw error;
      }
    },
    cancel() {
      cancelled.abort();
      ended();
    },
  });
}
