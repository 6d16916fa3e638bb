/**
 * Streamed bodies to S3. What fits into one part goes as one PutObject; more goes as a multipart upload of 8 MiB parts, at most
 * two under way, so that memory stays at about three parts however long the stream is. A failed upload is aborted: nothing of it
 * is ever visible, and no parts stay behind (unless the process dies: a lifecycle rule of the bucket clears those).
 */
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { PagefoldError, throwIfAborted } from "../base/errors.ts";
import { markSourceFailures } from "../remote/body.ts";
import { abortable } from "./s3-client.ts";
import { readFailure } from "./s3-errors.ts";

/** Bytes of every part but the last. */
export const PART_BYTES = 8 * 1_048_576;
const PARTS_IN_FLIGHT = 2;
/** S3's own limit. */
const PARTS_MAX = 10_000;
/** Metadata key that says which attempt wrote an object. */
export const ATTEMPT_KEY = "pagefold-attempt";

export interface Target {
  readonly client: S3Client;
  readonly bucket: string;
  /** With the store's prefix. */
  readonly objectKey: string;
  /** Unique to this call. */
  readonly attempt: string;
  readonly what: string;
}

export async function uploadStream(
  target: Target,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { client, bucket, objectKey, what } = target;
  const parts = cutParts(body, PART_BYTES, signal, what);
  try {
    const first = await parts.next();
    const head = first.done === true ? new Uint8Array(0) : first.value;
    const second = head.length < PART_BYTES ? undefined : await parts.next();
    if (second === undefined || second.done === true) {
      const put = new PutObjectCommand({ Bucket: bucket, Key: objectKey, Body: head });
      await client.send(put, abortable(signal));
      return;
    }
    await multipart(target, chain([head, second.value], parts), signal);
  } finally {
    await parts.return(undefined).catch(() => {});
  }
}

async function multipart(
  target: Target,
  parts: AsyncIterable<Uint8Array>,
  outer: AbortSignal | undefined,
): Promise<void> {
  const { client, bucket, objectKey, attempt, what } = target;
  const at = { Bucket: bucket, Key: objectKey };
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({ ...at, Metadata: { [ATTEMPT_KEY]: attempt } }),
    abortable(outer),
  );
  const upload = { ...at, UploadId };
  // The first part that fails stops the others.
  const stop = new AbortController();
  const signal = outer === undefined ? stop.signal : AbortSignal.any([outer, stop.signal]);
  const inFlight = new Set<Promise<void>>();
  const done: CompletedPart[] = [];
  let failure: { readonly error: unknown } | undefined;
  try {
    let number = 0;
    for await (const part of parts) {
      throwIfAborted(outer, what);
      if (failure !== undefined) throw failure.error;
      if (++number > PARTS_MAX) throw tooLarge(what);
      const PartNumber = number;
      const sending = client
        .send(new UploadPartCommand({ ...upload, PartNumber, Body: part }), { abortSignal: signal })
        .then(
          ({ ETag }) => void done.push({ PartNumber, ETag }),
          (error: unknown) => {
            failure ??= { error };
            stop.abort();
          },
        )
        .finally(() => inFlight.delete(sending));
      inFlight.add(sending);
      if (inFlight.size >= PARTS_IN_FLIGHT) await Promise.race(inFlight);
    }
    await Promise.all(inFlight);
    if (failure !== undefined) throw failure.error;
    throwIfAborted(outer, what);
    await complete(target, { ...upload, done }, outer);
  } catch (error) {
    stop.abort();
    await Promise.all(inFlight);
    // Without the caller's signal: it may be what brought us here.
    await client.send(new AbortMultipartUploadCommand(upload)).catch(() => {});
    throw error;
  }
}

async function complete(
  { client, attempt }: Target,
  upload: { Bucket: string; Key: string; UploadId: string | undefined; done: CompletedPart[] },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { done, ...at } = upload;
  const Parts = done.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
  try {
    await client.send(
      new CompleteMultipartUploadCommand({ ...at, MultipartUpload: { Parts } }),
      abortable(signal),
    );
  } catch (error) {
    // A repetition inside the SDK finds the upload gone where the first attempt came through unseen.
    if (readFailure(error).name !== "NoSuchUpload") throw error;
    const { Metadata } = await client.send(
      new HeadObjectCommand({ Bucket: at.Bucket, Key: at.Key }),
      abortable(signal),
    );
    if (Metadata?.[ATTEMPT_KEY] !== attempt) throw error;
  }
}

function tooLarge(what: string): PagefoldError {
  return new PagefoldError(
    "invalid",
    `${what}: the stream is longer than ${PARTS_MAX} parts of ${PART_BYTES} bytes, more than S3 takes; split it into several objects`,
  );
}

/** Buffers of exactly `size` bytes, but the last; each is new, since it is sent while the next is filled. */
async function* cutParts(
  body: AsyncIterable<Uint8Array>,
  size: number,
  signal: AbortSignal | undefined,
  what: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  let part: Uint8Array | undefined;
  let length = 0;
  for await (const chunk of markSourceFailures(body)) {
    throwIfAborted(signal, what);
    for (let at = 0; at < chunk.length; ) {
      part ??= Buffer.allocUnsafeSlow(size);
      const piece = chunk.subarray(at, at + size - length);
      part.set(piece, length);
      length += piece.length;
      at += piece.length;
      if (length < size) continue;
      yield part;
      part = undefined;
      length = 0;
    }
  }
  if (part !== undefined) yield part.subarray(0, length);
}

async function* chain(
  first: Iterable<Uint8Array>,
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* first;
  yield* rest;
}
