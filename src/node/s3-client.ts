/** Making an SDK client, and the small things that every request of the S3 store needs. */
import { S3Client } from "@aws-sdk/client-s3";
import { concat } from "../remote/body.ts";
import type { S3ObjectStoreOptions } from "./s3.ts";
import { hasOwnMeaning } from "./s3-errors.ts";

export function makeClient(options: S3ObjectStoreOptions): S3Client {
  const { endpoint, credentials } = options;
  const { AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL } = process.env;
  // The SDK finds an endpoint of the environment itself, but not what usually goes with it.
  const elsewhere = (endpoint ?? AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL) !== undefined;
  const { forcePathStyle = elsewhere } = options;
  const region = options.region ?? AWS_REGION ?? AWS_DEFAULT_REGION ?? (elsewhere ? "us-east-1" : undefined);
  return new S3Client({
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(credentials === undefined ? {} : { credentials }),
    forcePathStyle,
    // Servers other than AWS refuse or mangle the newer checksum trailers.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    maxAttempts: 3,
    requestHandler: {
      connectionTimeout: 10_000,
      socketTimeout: 60_000,
      httpAgent: { keepAlive: true, maxSockets: 64 },
      httpsAgent: { keepAlive: true, maxSockets: 64 },
    },
  });
}

export function abortable(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}

/** Whether the answer says that there is no such object, rather than no such bucket or (some servers) no such user. */
export function isAbsent(name: string, status: number): boolean {
  return name === "NoSuchKey" || (status === 404 && !hasOwnMeaning(name));
}

/** At most `limit` bytes of a body, after the first `skip`, in a buffer of their own. `body`: of an answer, which in Node is a stream. */
export async function collect(body: unknown, limit: number, skip = 0): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let toSkip = skip;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    const piece = chunk.subarray(Math.min(toSkip, chunk.length));
    toSkip -= chunk.length - piece.length;
    const taken = piece.subarray(0, Math.max(0, limit - length));
    chunks.push(taken);
    length += taken.length;
    if (length >= limit) break;
  }
  return concat(chunks, length);
}
