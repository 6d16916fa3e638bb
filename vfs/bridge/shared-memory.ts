/**
 * The bridge for a worker beside a thread that can wait for the network: it posts a batch of ranges with shared memory that has
 * room for all answers, and sleeps until the other side (`serveRanges`) has filled it. Web standards only, so that
 * browsers with cross-origin isolation use it as well as Node.
 */
import { abortedError, PagefoldError } from "../../src/base/errors.ts";
import { noopRecorder, type Recorder } from "../../src/base/recorder.ts";
import type { FetchPlan, RangeAnswers, RangeRequest } from "../../src/volume/fetch-plan.ts";
import type { Bell } from "./bell.ts";
import { type BlockingBridge, drivePlan } from "./bridge.ts";
import { RangeBatch } from "./range-batch.ts";

/** What the two sides say to each other; the answers travel in `buffer`. */
export type RangeMessage =
  | {
      readonly kind: "batch";
      readonly id: number;
      readonly requests: readonly RangeRequest[];
      readonly buffer: SharedArrayBuffer;
    }
  | { readonly kind: "cancel"; readonly id: number };

export interface SharedMemoryBridgeOptions {
  /** To the thread that runs `serveRanges` with the same bell. */
  readonly port: MessagePort;
  readonly bell: Bell;
  /** As `interrupted` of the bridge at first, asked whenever the bell rings; the VFS sets that for each statement of a `Database`. */
  readonly interrupted?: () => boolean;
  /** After so long without an answer the other side counts as dead: `unavailable`. Default 120000. */
  readonly timeoutMs?: number;
  /** Monotonic milliseconds. */
  readonly monotonic?: () => number;
  readonly recorder?: Recorder;
}

const DEFAULT_TIMEOUT_MS = 120_000;
/** A buffer up to this size is kept for the next batch. */
const MAX_KEPT_BYTES = 8 * 1_048_576;
const MIN_BUFFER_BYTES = 65_536;

export class SharedMemoryBridge implements BlockingBridge {
  readonly kind = "shared-memory";
  readonly blocking = true;
  readonly #options: SharedMemoryBridgeOptions;
  readonly #monotonic: () => number;
  readonly #recorder: Recorder;
  interrupted?: () => boolean;
  #kept: SharedArrayBuffer | undefined;
  #nextId = 1;

  constructor(options: SharedMemoryBridgeOptions) {
    this.#options = options;
    this.#monotonic = options.monotonic ?? (() => performance.now());
    this.#recorder = options.recorder ?? noopRecorder;
    if (options.interrupted !== undefined) this.interrupted = options.interrupted;
  }

  run<T>(plan: FetchPlan<T>): T {
    return drivePlan(plan, (requests) => this.#fetch(requests));
  }

  #fetch(requests: readonly RangeRequest[]): RangeAnswers {
    const buffer = this.#buffer(RangeBatch.bytesFor(requests));
    const batch = new RangeBatch(buffer, requests);
    batch.reset();
    const id = this.#nextId++;
    const started = this.#monotonic();
    this.#options.port.postMessage({ kind: "batch", id, requests, buffer } satisfies RangeMessage);
    this.#wait(batch, id, started, requests);
    const answers = batch.take();
    this.#recorder.observe("bridge.wait_ms", this.#monotonic() - started);
    // Given back only here: after a timeout or an abort the other side may still write into it.
    if (buffer.byteLength <= MAX_KEPT_BYTES) this.#kept = buffer;
    return answers;
  }

  #wait(batch: RangeBatch, id: number, started: number, requests: readonly RangeRequest[]): void {
    const { bell, timeoutMs = DEFAULT_TIMEOUT_MS } = this.#options;
    for (;;) {
      // Read before the checks: a ring after them then ends the wait at once.
      const seen = bell.rings;
      if (batch.settled) return;
      if (this.interrupted?.() === true) throw this.#givenUp(id, abortedError("fetching pages"));
      if (bell.closed) throw this.#givenUp(id, this.#unavailable("has ended", requests));
      const left = timeoutMs - (this.#monotonic() - started);
      if (left <= 0)
        throw this.#givenUp(id, this.#unavailable(`did not answer for ${timeoutMs} ms`, requests));
      bell.wait(seen, left);
    }
  }

  #givenUp(id: number, error: PagefoldError): PagefoldError {
    this.#options.port.postMessage({ kind: "cancel", id } satisfies RangeMessage);
    return error;
  }

  #unavailable(what: string, requests: readonly RangeRequest[]): PagefoldError {
    return new PagefoldError(
      "unavailable",
      `the thread that fetches from the store ${what} (${requests.length} ranges, the first of ${requests[0]?.key}); open the database again`,
      { details: requests[0] === undefined ? {} : { key: requests[0].key } },
    );
  }

  #buffer(bytes: number): SharedArrayBuffer {
    const kept = this.#kept;
    this.#kept = undefined;
    if (kept !== undefined && kept.byteLength >= bytes) return kept;
    return new SharedArrayBuffer(
      bytes > MAX_KEPT_BYTES ? bytes : Math.max(MIN_BUFFER_BYTES, 2 ** Math.ceil(Math.log2(bytes))),
    );
  }
}
