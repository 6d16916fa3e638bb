/**
 * How the answers to a batch of ranges lie in shared memory. Both sides compute the same places from the requests, since a
 * range's answer is never longer than the range.
 *
 *   0      i32      state: 0 pending, 1 answered, 2 failed
 *   4      i32      failed: length of the error text
 *   8      i32 × n  length of each answer; -1: the object is absent
 *   …      answers  each at a multiple of 8, in order; failed: the error as JSON instead
 */
import { PagefoldError } from "../../src/base/errors.ts";
import type { RangeAnswers, RangeRequest } from "../../src/volume/fetch-plan.ts";
import { fromWireError, toWireError, type WireError } from "../wire-error.ts";

const STATE = 0;
const ERROR_LENGTH = 1;
const HEADER_WORDS = 2;
const PENDING = 0;
const ANSWERED = 1;
const FAILED = 2;
const ABSENT = -1;
/** Room for an error, whatever was asked for. */
const MIN_DATA_BYTES = 4096;

const align = (n: number): number => Math.ceil(n / 8) * 8;

export class RangeBatch {
  readonly #requests: readonly RangeRequest[];
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  /** Bytes of shared memory that the answers to these requests need at most. */
  static bytesFor(requests: readonly RangeRequest[]): number {
    const data = requests.reduce((sum, { length }) => sum + align(length), 0);
    return dataStart(requests.length) + Math.max(MIN_DATA_BYTES, data);
  }

  constructor(buffer: SharedArrayBuffer, requests: readonly RangeRequest[]) {
    this.#requests = requests;
    this.#words = new Int32Array(buffer, 0, HEADER_WORDS + requests.length);
    this.#bytes = new Uint8Array(buffer);
  }

  /** Before the requests are sent. */
  reset(): void {
    Atomics.store(this.#words, STATE, PENDING);
  }

  get settled(): boolean {
    return Atomics.load(this.#words, STATE) !== PENDING;
  }

  /** Mover: one answer; `at` is where `places` says. Too long an answer is the store's bug, and must not overwrite its neighbour. */
  setAnswer(i: number, at: number, bytes: Uint8Array | undefined): void {
    const request = this.#requests[i];
    if (bytes === undefined) {
      this.#words[HEADER_WORDS + i] = ABSENT;
      return;
    }
    if (request === undefined || bytes.length > request.length) {
      throw new PagefoldError(
        "unavailable",
        `the store answered ${bytes.length} bytes where ${request?.length} were asked for; it ignores ranges`,
        { retryable: false, details: { ...(request === undefined ? {} : { key: request.key }) } },
      );
    }
    this.#bytes.set(bytes, at);
    this.#words[HEADER_WORDS + i] = bytes.length;
  }

  /** Mover: where each answer goes. */
  places(): number[] {
    let at = dataStart(this.#requests.length);
    return this.#requests.map(({ length }) => {
      const place = at;
      at += align(length);
      return place;
    });
  }

  /** Mover: all answers are written. The store of the state publishes them. */
  succeed(): void {
    Atomics.store(this.#words, STATE, ANSWERED);
  }

  /** Mover: the batch failed. */
  fail(error: unknown): void {
    const start = dataStart(this.#requests.length);
    const room = this.#bytes.length - start;
    let text = new TextEncoder().encode(JSON.stringify(toWireError(error)));
    if (text.length > room) {
      const { cause: _, details: __, ...short } = toWireError(error);
      const message = short.message.slice(0, 500);
      text = new TextEncoder().encode(JSON.stringify({ ...short, message }));
    }
    this.#bytes.set(text, start);
    this.#words[ERROR_LENGTH] = text.length;
    Atomics.store(this.#words, STATE, FAILED);
  }

  /** Reader: the answers, copied out of the shared memory, or throws the error of the other side. */
  take(): RangeAnswers {
    if (Atomics.load(this.#words, STATE) === FAILED) throw this.#error();
    return this.places().map((at, i) => {
      const length = this.#words[HEADER_WORDS + i] ?? ABSENT;
      // A copy: decoders of some platforms refuse shared memory, and the buffer serves the next batch.
      return length === ABSENT ? undefined : this.#bytes.slice(at, at + length);
    });
  }

  #error(): Error {
    const start = dataStart(this.#requests.length);
    const text = this.#bytes.slice(start, start + (this.#words[ERROR_LENGTH] ?? 0));
    return fromWireError(JSON.parse(new TextDecoder().decode(text)) as WireError);
  }
}

function dataStart(count: number): number {
  return align((HEADER_WORDS + count) * Int32Array.BYTES_PER_ELEMENT);
}
