/**
 * What an object store's client and server say to each other over a message port. Every call has a number; its answer carries the
 * same number. A streamed body goes chunk by chunk, each one asked for, so that no more than one is under way.
 */
import type { Bundle, ByteRange, CommitNews, ListEntry } from "../../src/remote/object-store.ts";
import type { WireError } from "../wire-error.ts";

export type StoreCallMessage =
  | { readonly id: number; readonly kind: "get"; readonly key: string; readonly range?: ByteRange }
  | {
      readonly id: number;
      readonly kind: "put";
      readonly key: string;
      readonly ifAbsent: boolean;
      /** Absent: the body comes in chunks. */
      readonly body?: Uint8Array;
    }
  | {
      readonly id: number;
      readonly kind: "list";
      readonly prefix: string;
      readonly startAfter?: string;
      readonly limit?: number;
    }
  | { readonly id: number; readonly kind: "delete"; readonly keys: readonly string[] }
  | { readonly id: number; readonly kind: "bundle"; readonly name: string; readonly from: number };

/** A watch lasts until it is ended from either side; its messages carry its number. */
export interface WatchMessage {
  readonly id: number;
  readonly kind: "watch";
  readonly volume: string;
  readonly after: number;
}

/** From the client. */
export type ClientMessage =
  | StoreCallMessage
  | WatchMessage
  | { readonly id: number; readonly kind: "unwatch" }
  | { readonly id: number; readonly kind: "abort" }
  | { readonly id: number; readonly kind: "chunk"; readonly bytes: Uint8Array }
  | { readonly id: number; readonly kind: "body-end" }
  | { readonly id: number; readonly kind: "body-failed"; readonly error: WireError };

export type StoreValue = Uint8Array | undefined | "created" | "exists" | ListEntry[] | Bundle;

/** From the server. */
export type ServerMessage =
  | { readonly id: number; readonly kind: "value"; readonly value: StoreValue }
  | { readonly id: number; readonly kind: "error"; readonly error: WireError }
  | { readonly id: number; readonly kind: "news"; readonly news: CommitNews }
  | {
      readonly id: number;
      readonly kind: "watch-state";
      readonly state: "live" | "waiting";
      readonly reason?: WireError;
    }
  | { readonly id: number; readonly kind: "watch-end"; readonly reason: WireError }
  /** The next chunk of this put, please. */
  | { readonly id: number; readonly kind: "want-chunk" };

/**
 * Bytes that may be handed over together with their memory: the very array where it owns all of its buffer, a copy of the part that it
 * shows otherwise (a message would copy the whole buffer).
 */
export function transferable(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = bytes;
  const owned =
    buffer instanceof ArrayBuffer && buffer.byteLength === byteLength && bytes.constructor === Uint8Array;
  return owned ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}
