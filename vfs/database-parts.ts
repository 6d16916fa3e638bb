/** What a database hands out that runs SQL elsewhere than on its newest state by itself: a transaction, a view of the past. */
import { PagefoldError } from "../src/base/errors.ts";
import type { VolumeFigures } from "../src/inspect/inspection.ts";
import { type CallOptions, type QueryStats, SqlExecutor } from "./executor.ts";
import type { SessionCalls, Where } from "./session/protocol.ts";

export interface InspectCallOptions extends CallOptions {
  readonly cells?: number;
  readonly commits?: number;
  readonly history?: boolean;
}

/** What they need of their database. */
export interface ExecutorParts {
  readonly call: <K extends keyof SessionCalls>(
    kind: K,
    request: SessionCalls[K]["request"],
    signal?: AbortSignal,
  ) => Promise<SessionCalls[K]["reply"]>;
  readonly measured: <T extends { readonly faults: number }>(
    work: () => Promise<T>,
  ) => Promise<{ readonly value: T; readonly stats: QueryStats }>;
}

abstract class Part extends SqlExecutor {
  readonly #parts: ExecutorParts;

  constructor(parts: ExecutorParts) {
    super();
    this.#parts = parts;
  }

  /** Why nothing may run here any more. */
  protected abstract problem(): PagefoldError | undefined;

  protected async call<K extends keyof SessionCalls>(
    kind: K,
    request: SessionCalls[K]["request"],
    signal?: AbortSignal,
  ): Promise<SessionCalls[K]["reply"]> {
    const problem = this.problem();
    if (problem !== undefined) throw problem;
    return this.#parts.call(kind, request, signal);
  }

  protected measured<T extends { readonly faults: number }>(
    work: () => Promise<T>,
  ): Promise<{ readonly value: T; readonly stats: QueryStats }> {
    return this.#parts.measured(work);
  }
}

/** SQL within one transaction; made by `Database.transaction`, and over when its callback is. */
export class DatabaseTransaction extends Part {
  readonly #transaction: number;
  #ended = false;

  /** @internal */
  constructor(parts: ExecutorParts, transaction: number) {
    super(parts);
    this.#transaction = transaction;
  }

  /** @internal */
  end(): void {
    this.#ended = true;
  }

  protected where(): Where {
    return { transaction: this.#transaction };
  }

  protected problem(): PagefoldError | undefined {
    return this.#ended
      ? new PagefoldError("closed", "this transaction has ended; begin a new one")
      : undefined;
  }
}

/** The database as it was at one LSN, for ever; read-only. Made by `Database.at`. */
export class DatabaseAt extends Part {
  readonly lsn: number;
  readonly #view: number;
  #closing: Promise<unknown> | undefined;

  /** @internal */
  constructor(parts: ExecutorParts, view: number, lsn: number) {
    super(parts);
    this.#view = view;
    this.lsn = lsn;
  }

  /** As `Database.inspect`, with the map of this state. */
  inspect(options: InspectCallOptions = {}): Promise<VolumeFigures> {
    const { signal, ...request } = options;
    return this.call("inspect", { ...request, view: this.#view }, signal);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= super.call("closeView", { view: this.#view });
    await this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  protected where(): Where {
    return { view: this.#view };
  }

  protected problem(): PagefoldError | undefined {
    return this.#closing === undefined
      ? undefined
      : new PagefoldError("closed", "this view of the past was closed; open it again with at()");
  }
}
