/**
 * Repeats calls that failed in a way that may pass. Only errors marked `retryable` are repeated; a streamed body cannot be
 * sent twice, so such a `put` gets one attempt (its backend may repeat parts).
 *
 * A conditional create may have come through although its answer was lost; the repetition then answers "exists", and that is
 * what the caller gets: it reads the object back and compares.
 */
import { abortedError, isPagefoldError, PagefoldError, throwIfAborted } from "../base/errors.ts";
import { noopRecorder, type Recorder } from "../base/recorder.ts";
import type { Runtime } from "../base/runtime.ts";
import { isWhole } from "./body.ts";
import type { ObjectStore } from "./object-store.ts";

export interface RetryOptions {
  readonly runtime: Runtime;
  /** Attempts in all, at least 1. Default 5. */
  readonly attempts?: number;
  /** Upper bound of the first pause; doubles with every attempt. Default 50. */
  readonly baseDelayMs?: number;
  /** Upper bound of every pause. Default 5000. */
  readonly maxDelayMs?: number;
  /** Counts `remote.retry.count` and `remote.retry.exhausted`. */
  readonly recorder?: Recorder;
}

/**
 * The pause before attempt `attempt` + 1, ms: uniform between a quarter of the bound and the bound, so that clients that
 * failed together do not return together.
 */
export function retryDelayMs(
  attempt: number,
  baseDelayMs: number,
  maxDelayMs: number,
  random: number,
): number {
  const bound = Math.min(maxDelayMs, baseDelayMs * 2 ** (attempt - 1));
  return bound * (0.25 + 0.75 * random);
}

/**
 * The same failure, marked: an earlier attempt of the call failed without an answer and may yet be carried out, so a refusal of a later one
 * says nothing of it.
 */
export function repeated(error: PagefoldError): PagefoldError {
  const { code, message, retryable } = error;
  return new PagefoldError(code, message, {
    cause: error,
    details: { ...error.details, repeated: true },
    retryable,
  });
}

export function withRetry(store: ObjectStore, options: RetryOptions): ObjectStore {
  const { runtime, attempts = 5, baseDelayMs = 50, maxDelayMs = 5000, recorder = noopRecorder } = options;

  async function retried<T>(
    what: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      let askedFor = 0;
      throwIfAborted(signal, what);
      try {
        return await work();
      } catch (error) {
        if (!isPagefoldError(error)) throw error;
        // What the store itself asked for (Retry-After).
        askedFor = Number(error.details.retryAfterMs ?? 0);
        if (!error.retryable) throw attempt === 1 ? error : repeated(error);
        if (attempt >= attempts) {
          recorder.count("remote.retry.exhausted");
          throw error;
        }
      }
      recorder.count("remote.retry.count");
      const delayMs = retryDelayMs(attempt, baseDelayMs, maxDelayMs, runtime.random());
      await pause(runtime, Math.max(delayMs, askedFor), signal, what);
    }
  }

  return {
    url: store.url,
    capabilities: store.capabilities,
    ...(store.http === undefined ? {} : { http: store.http }),
    ...(store.bundle === undefined
      ? {}
      : {
          bundle: (name, opts) =>
            retried(`reading what ${name} needs`, opts?.signal, async () => store.bundle?.(name, opts)),
        }),
    ...(store.watch === undefined ? {} : { watch: store.watch.bind(store) }),
    get: (key, opts) => retried(`reading ${key}`, opts?.signal, () => store.get(key, opts)),
    put: (key, body, opts) =>
      isWhole(body)
        ? retried(`writing ${key}`, opts?.signal, () => store.put(key, body, opts))
        : store.put(key, body, opts),
    list: (prefix, opts) => retried(`listing ${prefix}`, opts?.signal, () => store.list(prefix, opts)),
    delete: (keys, opts) => retried("deleting objects", opts?.signal, () => store.delete(keys, opts)),
    close: () => store.close(),
  };
}

async function pause(
  runtime: Runtime,
  ms: number,
  signal: AbortSignal | undefined,
  what: string,
): Promise<void> {
  try {
    await runtime.sleep(ms, signal);
  } catch (error) {
    throw abortedError(what, error);
  }
}
