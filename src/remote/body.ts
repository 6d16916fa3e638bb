/**
 * Bodies of `put`: telling whole ones from streamed ones, gathering a streamed one for backends that keep bytes, and telling the
 * failures of a stream from those of a store.
 */
import { PagefoldError, throwIfAborted } from "../base/errors.ts";
import type { Body, PutOptions } from "./object-store.ts";

export function isWhole(body: Body): body is Uint8Array {
  return body instanceof Uint8Array;
}

/** Throws `invalid` for a conditional create of a streamed body: what it would race with is known only at its end. */
export function checkConditionalBody(key: string, body: Body, options: PutOptions): void {
  if (options.ifAbsent !== true || isWhole(body)) return;
  throw new PagefoldError(
    "invalid",
    `${key}: a conditional create needs its body whole; give one Uint8Array`,
    {
      details: { key },
    },
  );
}

export function concat(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const out = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** A copy of the whole body. Chunks are copied as they come, since a producer may reuse its buffer. */
export async function collectBody(
  body: Body,
  signal: AbortSignal | undefined,
  what: string,
): Promise<Uint8Array> {
  if (isWhole(body)) return body.slice();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    throwIfAborted(signal, what);
    chunks.push(chunk.slice());
    length += chunk.length;
  }
  return concat(chunks, length);
}

/** Carries an error of the caller's stream past a backend's handling of its own: it must come through as it is. */
export class SourceFailure extends Error {
  constructor(override readonly cause: unknown) {
    super("the source of a streamed body failed");
  }
}

/** The same chunks; what the source throws comes as a SourceFailure. */
export async function* markSourceFailures(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body;
  } catch (error) {
    throw new SourceFailure(error);
  }
}
