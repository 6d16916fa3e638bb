/** What the thread of a `Database` and the worker that runs its session say to each other. */
import type { BridgeKind } from "../bridge/bridge.ts";
import type { PortStoreDescription } from "../port/port-object-store.ts";
import type { EngineRequest, SessionSettings } from "../session/engine.ts";
import type { CallKind, SessionCalls, SessionEvent } from "../session/protocol.ts";
import type { WireError } from "../wire-error.ts";

/** The first and only message to the worker itself; everything else goes through the ports. */
export interface WorkerSetup {
  /** Requests and replies. */
  readonly control: MessagePort;
  /** `PortObjectStore` ↔ `serveObjectStore`. */
  readonly store: MessagePort;
  readonly storeDescription: PortStoreDescription;
  readonly bridge: BridgeKind;
  /** `SharedMemoryBridge` ↔ `serveRanges`, where that is the bridge. */
  readonly ranges?: MessagePort;
  /** Of the `Bell` that wakes the bridge and interrupts queries, where memory can be shared. */
  readonly bell?: SharedArrayBuffer;
  readonly engine: EngineRequest;
  readonly settings: SessionSettings;
  readonly faultTimeoutMs?: number;
}

/** From a browser's worker itself: the name of the lock that it holds for as long as it lives. */
export interface LifeMessage {
  readonly lifeLock: string;
}

/** A request by number; the number is also what the bell interrupts. */
export type CallMessage = {
  [K in CallKind]: Numbered & { readonly kind: K; readonly request: SessionCalls[K]["request"] };
}[CallKind];

interface Numbered {
  readonly id: number;
  /** Address of the `BlobFlag` that interrupts it, where memory cannot be shared. */
  readonly flag?: string;
}

export type ControlMessage =
  | CallMessage
  | (Numbered & { readonly kind: "open" })
  | { readonly id: number; readonly kind: "abort" }
  /** From now on these events are wanted. */
  | { readonly kind: "listen"; readonly names: readonly SessionEvent["name"][] }
  /** One more session on the same store, which is served through `control` until that is closed; its first request is `open`. */
  | {
      readonly kind: "attach";
      readonly control: MessagePort;
      readonly engine: EngineRequest;
      readonly settings: SessionSettings;
    };

export type WorkerMessage =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: WireError }
  | { readonly happened: SessionEvent }
  /** The worker has made a request of its own, and so many bytes came. */
  | { readonly fetched: number };
