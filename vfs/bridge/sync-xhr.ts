/**
 * The bridge for workers of browsers that can neither suspend WebAssembly nor share memory: each range is a synchronous XMLHttpRequest to a
 * store that answers plain HTTP range requests. One request at a time, so a batch costs as many round trips as it has ranges.
 */
import { PagefoldError, throwIfAborted } from "../../src/base/errors.ts";
import type { HttpAddress } from "../../src/remote/object-store.ts";
import type { FetchPlan, RangeRequest } from "../../src/volume/fetch-plan.ts";
import { type BlockingBridge, drivePlan } from "./bridge.ts";

/** What this needs of an XMLHttpRequest. */
export interface SyncRequest {
  open(method: string, url: string, asynchronous: boolean): void;
  setRequestHeader(name: string, value: string): void;
  responseType: string;
  /** Milliseconds; not every implementation has it. */
  timeout?: number;
  send(): void;
  readonly status: number;
  readonly response: unknown;
}

export interface SyncXhrBridgeOptions {
  readonly address: HttpAddress;
  /** As `interrupted` of the bridge at first, asked before each request; the VFS sets that for each statement of a `Database`. */
  readonly interrupted?: () => boolean;
  readonly makeRequest?: () => SyncRequest;
  /** Told of every answer, with the bytes that came. */
  readonly onAnswer?: (bytes: number) => void;
  /** How often a request that got no answer is sent. Default 3. */
  readonly attempts?: number;
  /** How long one request may take: nothing else ends it. Default 120000. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 120_000;
const OK = 200;
const PARTIAL = 206;
const NOT_FOUND = 404;
const RANGE_NOT_SATISFIABLE = 416;
const REFUSALS = new Map<number, "unauthorized" | "forbidden">([
  [401, "unauthorized"],
  [403, "forbidden"],
]);

export class SyncXhrBridge implements BlockingBridge {
  readonly kind = "sync-xhr";
  readonly blocking = true;
  interrupted?: () => boolean;
  readonly #options: SyncXhrBridgeOptions;

  constructor(options: SyncXhrBridgeOptions) {
    this.#options = options;
    if (options.interrupted !== undefined) this.interrupted = options.interrupted;
  }

  run<T>(plan: FetchPlan<T>): T {
    return drivePlan(plan, (batch) => batch.map((range) => this.#get(range)));
  }

  #get(range: RangeRequest): Uint8Array | undefined {
    const { attempts = 3 } = this.#options;
    for (let attempt = 1; ; attempt++) {
      if (this.interrupted?.() === true) throwIfAborted(AbortSignal.abort(), "fetching pages");
      try {
        return this.#getOnce(range);
      } catch (error) {
        const isFinal = error instanceof PagefoldError && !error.retryable;
        if (isFinal || attempt >= attempts) throw error;
      }
    }
  }

  #getOnce({ key, offset, length }: RangeRequest): Uint8Array | undefined {
    const {
      address,
      timeoutMs = DEFAULT_TIMEOUT_MS,
      makeRequest = () =>
        new (globalThis as unknown as { XMLHttpRequest: new () => SyncRequest }).XMLHttpRequest(),
    } = this.#options;
    const request = makeRequest();
    const url = `${address.baseUrl.replace(/\/$/, "")}/${key.split("/").map(encodeURIComponent).join("/")}`;
    try {
      request.open("GET", url, false);
      request.responseType = "arraybuffer";
      request.timeout = timeoutMs;
      for (const [name, value] of Object.entries(address.headers ?? {}))
        request.setRequestHeader(name, value);
      request.setRequestHeader("range", `bytes=${offset}-${offset + length - 1}`);
      request.send();
    } catch (cause) {
      throw new PagefoldError(
        "unavailable",
        `${url} cannot be reached, or does not answer; try again when it is back`,
        {
          cause,
          details: { key },
        },
      );
    }
    const { status } = request;
    const body = request.response instanceof ArrayBuffer ? request.response : new ArrayBuffer(0);
    this.#options.onAnswer?.(body.byteLength);
    if (status === NOT_FOUND) return undefined;
    if (status === RANGE_NOT_SATISFIABLE) return new Uint8Array(0);
    if (status !== PARTIAL && status !== OK) {
      const code = REFUSALS.get(status) ?? "unavailable";
      throw new PagefoldError(code, `${url} answered with status ${status}`, {
        retryable: status >= 500 || status === 429,
        details: { key, status },
      });
    }
    const bytes = new Uint8Array(body);
    // A host that ignores ranges answers the whole object.
    const wanted = status === OK ? bytes.subarray(offset, offset + length) : bytes;
    if (wanted.length <= length) return wanted;
    throw new PagefoldError(
      "unavailable",
      `${url} answered ${wanted.length} bytes where ${length} were asked for; it mistakes ranges`,
      { retryable: false, details: { key } },
    );
  }
}
