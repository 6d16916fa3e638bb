/** The moving side of the shared-memory bridge: gets ranges from a store, in parallel, and writes them where the worker waits for them. */
import { abortedError } from "../../src/base/errors.ts";
import { Semaphore } from "../../src/base/semaphore.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { RangeRequest } from "../../src/volume/fetch-plan.ts";
import type { Bell } from "./bell.ts";
import { RangeBatch } from "./range-batch.ts";
import type { RangeMessage } from "./shared-memory.ts";

export interface ServeRangesOptions {
  /** Shared with the bridge on the other side. */
  readonly bell: Bell;
  /** Requests under way at a time, over all batches. Default 16. */
  readonly concurrency?: number;
  /** Ends the service. */
  readonly signal?: AbortSignal;
}

export interface RangeService {
  /** Ends the service: requests under way are aborted, a waiting bridge gets `unavailable`. Idempotent. */
  close(): void;
}

/** Serves the batches that come through `port` from `store` until it is closed. Takes the port over. */
export function serveRanges(
  port: MessagePort,
  store: ObjectStore,
  options: ServeRangesOptions,
): RangeService {
  const { bell, concurrency = 16, signal } = options;
  const slots = new Semaphore(concurrency, "a request");
  const running = new Map<number, Cancellation>();

  const onMessage = ({ data }: MessageEvent<RangeMessage>): void => {
    if (data.kind === "cancel") {
      running.get(data.id)?.cancel(abortedError("fetching pages"));
      return;
    }
    const cancellation = new Cancellation();
    running.set(data.id, cancellation);
    const batch = new RangeBatch(data.buffer, data.requests);
    void fill(batch, data.requests, store, slots, cancellation).then(() => {
      running.delete(data.id);
      bell.ring();
    });
  };
  const close = (): void => {
    port.removeEventListener("message", onMessage);
    signal?.removeEventListener("abort", close);
    // First the mark, so that whoever is woken by a failed request sees why.
    bell.close();
    for (const batch of running.values()) batch.cancel(abortedError("fetching pages"));
    port.close();
  };
  port.addEventListener("message", onMessage);
  port.start();
  signal?.addEventListener("abort", close, { once: true });
  if (signal?.aborted) close();
  return { close };
}

/** One signal per request, since a signal that dozens of requests listen to makes Node warn of a leak. */
class Cancellation {
  readonly #controllers = new Set<AbortController>();
  #reason: unknown;

  cancel(reason: unknown): void {
    this.#reason ??= reason;
    for (const controller of this.#controllers) controller.abort(this.#reason);
  }

  async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#reason !== undefined) throw this.#reason;
    const controller = new AbortController();
    this.#controllers.add(controller);
    try {
      return await work(controller.signal);
    } finally {
      this.#controllers.delete(controller);
    }
  }
}

/** Never rejects: a failure is written into the batch. The first failure ends the other requests; nothing is written after it. */
async function fill(
  batch: RangeBatch,
  requests: readonly RangeRequest[],
  store: ObjectStore,
  slots: Semaphore,
  cancellation: Cancellation,
): Promise<void> {
  const places = batch.places();
  let failed = false;
  const fetchOne = ({ key, offset, length }: RangeRequest, i: number): Promise<void> =>
    slots.run(() =>
      cancellation.run(async (signal) => {
        const bytes = await store.get(key, { range: { offset, length }, signal });
        if (!failed) batch.setAnswer(i, places[i] ?? 0, bytes);
      }),
    );
  try {
    await Promise.all(requests.map(fetchOne));
    batch.succeed();
  } catch (error) {
    failed = true;
    batch.fail(error);
    cancellation.cancel(abortedError("fetching pages", error));
  }
}
