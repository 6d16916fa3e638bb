/**
 * Bodies of requests: never longer than they may be, never shorter or longer than they said, never waited for without end. Memory for
 * objects that are received whole is lent out of one purse, so that many uploads wait rather than fill the memory.
 */
import type { Runtime } from "../../src/base/runtime.ts";
import { concat } from "../../src/remote/body.ts";
import { HttpError } from "./problem.ts";

export interface BodyLimits {
  readonly maxBytes: number;
  /** How long the next bytes may be waited for, milliseconds. */
  readonly idleMs: number;
  /** What must come in a second at least, on average of the time that was waited, once that is longer than `idleMs`. */
  readonly bytesPerSecond: number;
  readonly runtime: Runtime;
}

/** What `Content-Length` says, undefined where there is none. @throws 400, 413 */
export function statedLength(request: Request, maxBytes: number): number | undefined {
  const header = request.headers.get("content-length");
  if (header === null) return undefined;
  if (!/^\d{1,15}$/.test(header)) throw new HttpError(400, "invalid", "Content-Length is no number");
  const length = Number(header);
  if (length > maxBytes) throw tooLarge(maxBytes);
  return length;
}

/** The chunks of a body as they come. @throws 413, 408, 400 */
export async function* bodyChunks(
  request: Request,
  limits: BodyLimits,
): AsyncGenerator<Uint8Array, void, undefined> {
  const stated = statedLength(request, limits.maxBytes);
  const reader = request.body?.getReader() as ReadableStreamDefaultReader<Uint8Array> | undefined;
  const { runtime, idleMs, bytesPerSecond } = limits;
  let length = 0;
  let waitedMs = 0;
  let ended = false;
  try {
    while (reader !== undefined) {
      const since = runtime.monotonic();
      const { done, value } = await nextChunk(reader, limits);
      if (done) break;
      length += value.length;
      waitedMs += runtime.monotonic() - since;
      if (waitedMs > idleMs && length < (bytesPerSecond * waitedMs) / 1000) throw tooSlow(length, waitedMs);
      if (length > limits.maxBytes) throw tooLarge(limits.maxBytes);
      if (stated !== undefined && length > stated) throw wrongLength(stated, "more");
      yield value;
    }
    if (stated !== undefined && length < stated) throw wrongLength(stated, `only ${length}`);
    ended = true;
  } finally {
    // Nobody will read the rest; a source that fails while it is told so changes nothing.
    if (!ended) await reader?.cancel().catch(() => {});
  }
}

/** A whole body. */
export async function readBody(request: Request, limits: BodyLimits): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of bodyChunks(request, limits)) {
    chunks.push(chunk);
    length += chunk.length;
  }
  return chunks.length === 1 ? chunks[0]! : concat(chunks, length);
}

/** A JSON object. @throws 400 where it is none */
export async function readJson(
  request: Request,
  limits: BodyLimits,
): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await readBody(request, limits);
  let value: unknown;
  try {
    value = bytes.length === 0 ? {} : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new HttpError(400, "invalid", "the body is no JSON; see the protocol for what this request takes", {
      cause,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new HttpError(
      400,
      "invalid",
      "the body is no JSON object; see the protocol for what this request takes",
    );
  }
  return value as Readonly<Record<string, unknown>>;
}

/** Bytes that are lent; whoever finds too few left waits its turn. */
export class Purse {
  #left: number;
  readonly #total: number;
  readonly #queue: { readonly bytes: number; readonly grant: () => void }[] = [];

  constructor(bytes: number) {
    this.#left = bytes;
    this.#total = bytes;
  }

  /** Runs `work` while it has so many bytes; more than there are at all count as all. */
  async lend<T>(bytes: number, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const amount = Math.min(bytes, this.#total);
    await this.#take(amount, signal);
    try {
      return await work();
    } finally {
      this.#left += amount;
      this.#serve();
    }
  }

  #take(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#queue.length === 0 && this.#left >= bytes) {
      this.#left -= bytes;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const waiter = {
        bytes,
        grant: () => {
          signal?.removeEventListener("abort", leave);
          resolve();
        },
      };
      const leave = () => {
        this.#queue.splice(this.#queue.indexOf(waiter), 1);
        reject(cutOff(signal?.reason));
        this.#serve();
      };
      this.#queue.push(waiter);
      signal?.addEventListener("abort", leave, { once: true });
    });
  }

  #serve(): void {
    for (
      let first = this.#queue[0];
      first !== undefined && this.#left >= first.bytes;
      first = this.#queue[0]
    ) {
      this.#queue.shift();
      this.#left -= first.bytes;
      first.grant();
    }
  }
}

async function nextChunk(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  { idleMs, runtime }: BodyLimits,
): Promise<{ done: false; value: Uint8Array } | { done: true; value?: Uint8Array | undefined }> {
  const patience = new AbortController();
  const read = reader.read();
  try {
    const late = runtime.sleep(idleMs, patience.signal).then(() => {
      throw new HttpError(408, "unavailable", `nothing of the body came for ${idleMs} ms; send it again`);
    });
    late.catch(() => {});
    return await Promise.race([read, late]);
  } catch (error) {
    read.catch(() => {});
    throw error instanceof HttpError ? error : cutOff(error);
  } finally {
    patience.abort();
  }
}

function tooSlow(length: number, ms: number): HttpError {
  return new HttpError(
    408,
    "unavailable",
    `only ${length} bytes of the body came in ${Math.round(ms / 1000)} s; send it again over a faster way`,
  );
}

function cutOff(cause: unknown): HttpError {
  return new HttpError(400, "invalid", "the body was cut off; send it again", { cause });
}

function tooLarge(maxBytes: number): HttpError {
  return new HttpError(
    413,
    "invalid",
    `the body is larger than the ${maxBytes} bytes that are accepted here`,
  );
}

function wrongLength(stated: number, came: string): HttpError {
  return new HttpError(400, "invalid", `Content-Length says ${stated} bytes, ${came} came; send it again`);
}
