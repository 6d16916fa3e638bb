/** What the main thread and the worker that runs SQL say to each other. Everything here is plain data or a port. */
import type { PortStoreDescription } from "../port/port-object-store.ts";
import type { SqlRows } from "../sqlite/connection.ts";
import type { SqlParameters } from "../sqlite/values.ts";
import type { WireError } from "../wire-error.ts";
import type { EngineRequest } from "./engine.ts";

/** The first and only message to the worker itself; everything else goes through the ports. */
export interface WorkerSetup {
  /** Requests and replies of this protocol. */
  readonly control: MessagePort;
  /** `PortObjectStore` ↔ `serveObjectStore`. */
  readonly store: MessagePort;
  readonly storeDescription: PortStoreDescription;
  /** `SharedMemoryBridge` ↔ `serveRanges`. */
  readonly ranges: MessagePort;
  /** Of the `Bell` that wakes the bridge and interrupts queries. */
  readonly bell: SharedArrayBuffer;
  readonly engine: EngineRequest;
  readonly tempBytes?: number;
  readonly faultTimeoutMs?: number;
}

/** What the worker knows about cost; requests and bytes are counted where the store is. */
export interface WorkerStats {
  readonly lsn: number;
  readonly pageCount: number;
  readonly pageSize: number;
  readonly residentPages: number;
  readonly prefetchedUnused: number;
  /** Reads of SQLite that had to fetch, since opening. */
  readonly faults: number;
}

export interface QueryReply extends SqlRows {
  /** Reads of SQLite that had to fetch, for this query. */
  readonly faults: number;
}

/** For each kind of request, what it carries and what it is answered with. */
export interface WorkerCalls {
  open: { readonly request: object; readonly reply: WorkerStats };
  query: {
    readonly request: { readonly sql: string; readonly parameters: SqlParameters };
    readonly reply: QueryReply;
  };
  stats: { readonly request: object; readonly reply: WorkerStats };
  pull: { readonly request: object; readonly reply: WorkerStats };
  close: { readonly request: object; readonly reply: undefined };
}

/** A request by number; the number is also what the bell interrupts. */
export type WorkerRequest = {
  [K in keyof WorkerCalls]: { readonly id: number; readonly kind: K } & WorkerCalls[K]["request"];
}[keyof WorkerCalls];

export type ControlMessage = WorkerRequest | { readonly id: number; readonly kind: "abort" };

export type WorkerReply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: WireError };
