/**
 * Conditional creation on S3: `PutObject` with `If-None-Match: *`, and finding out what became of it where the answer was lost.
 * Every create carries a random name of its attempt in the object's metadata, so that an own success is told from another's
 * object even where their bytes are equal.
 */
import { GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { PagefoldError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import { repeated, retryDelayMs } from "../remote/with-retry.ts";
import { abortable, collect, isAbsent } from "./s3-client.ts";
import { isAmbiguous, readFailure, s3Error } from "./s3-errors.ts";
import { ATTEMPT_KEY, type Target } from "./s3-upload.ts";

/** How often a create is sent again after 409 ("another one is under way"). */
const CONFLICT_ATTEMPTS = 8;

/** Throws the SDK's errors, or `invalid` where the server does not know the condition. */
export async function createIfAbsent(
  target: Target,
  body: Uint8Array,
  runtime: Runtime,
  signal: AbortSignal | undefined,
): Promise<"created" | "exists"> {
  const { client, bucket, objectKey } = target;
  for (let attempt = 1; ; attempt++) {
    try {
      await client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: objectKey,
          Body: body,
          IfNoneMatch: "*",
          Metadata: { [ATTEMPT_KEY]: target.attempt },
        }),
        abortable(signal),
      );
      return "created";
    } catch (error) {
      const failure = readFailure(error);
      if (failure.status === 412) {
        // A first sending may have been repeated, by the SDK or by us, after its success was lost.
        const sentBefore = failure.attempts > 1 || attempt > 1;
        return sentBefore && (await isOurs(target, body, signal)) ? "created" : "exists";
      }
      if (failure.status === 409 && attempt < CONFLICT_ATTEMPTS) {
        await runtime.sleep(retryDelayMs(attempt, 20, 1000, runtime.random()), signal);
        continue;
      }
      if (failure.status === 501 || failure.status === 405) throw conditionRejected(target, error);
      if (signal?.aborted || !isAmbiguous(failure)) {
        const sentBefore = failure.attempts > 1 || attempt > 1;
        throw sentBefore ? repeated(s3Error(error, target.what, `s3://${bucket}`)) : error;
      }
      const ours = await isOurs(target, body, signal).catch(() => undefined);
      // Absent, or not to be found out: the request may still be on its way.
      if (ours === undefined) throw error;
      return ours ? "created" : "exists";
    }
  }
}

/** Whether the object that is there was written by this call; `undefined` where there is none. */
async function isOurs(
  { client, bucket, objectKey, attempt }: Target,
  body: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<boolean | undefined> {
  try {
    const answer = await client.send(
      new GetObjectCommand({ Bucket: bucket, Key: objectKey }),
      abortable(signal),
    );
    const stored = await collect(answer.Body, body.length + 1);
    const writtenBy = answer.Metadata?.[ATTEMPT_KEY];
    if (writtenBy !== undefined) return writtenBy === attempt;
    // A server that keeps no metadata: the bytes decide, and callers compare push ids inside them.
    return stored.length === body.length && Buffer.compare(stored, body) === 0;
  } catch (error) {
    const { name, status } = readFailure(error);
    if (isAbsent(name, status)) return undefined;
    throw error;
  }
}

function conditionRejected({ bucket, objectKey, what }: Target, error: unknown): PagefoldError {
  const store = `s3://${bucket}`;
  return new PagefoldError(
    "invalid",
    `${store} does not know conditional creation (If-None-Match: *), so it cannot be written safely; reading works`,
    { cause: s3Error(error, what, store).cause, details: { store, key: objectKey } },
  );
}
