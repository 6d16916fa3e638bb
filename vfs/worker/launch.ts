/** What `Database` needs of a platform: a thread of its own for SQL, stores by URL, and the engine for SQL on the caller's thread. */
import type { HttpAuth } from "../../src/remote/http/http-object-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { OpenEngine } from "../session/engine.ts";
import type { WorkerSetup } from "./messages.ts";

export interface SqlWorker {
  /** Sends the setup with the ports that it holds. */
  start(setup: WorkerSetup): void;
  /** Called once when the thread has ended, with the reason where it failed. */
  onEnd(listener: (error: unknown) => void): void;
  /** Ends the thread wherever it is. */
  terminate(): Promise<void>;
}

/** A store by its URL: a directory, `file:`, `s3://bucket/prefix`, `https:`; in browsers `https:` only. */
export interface StoreAddress {
  readonly url: string;
  /** S3 only. */
  readonly endpoint?: string;
  /** S3 only. */
  readonly region?: string;
  /** `http:` and `https:` only: a token, or where to get one. */
  readonly auth?: HttpAuth;
  /** Create the store's directory where it is missing. */
  readonly create?: boolean;
}

export interface Platform {
  /** @param url the worker's script; the platform's own where absent */
  launchWorker(url?: URL): SqlWorker;
  /** @throws `invalid` where the platform knows no such store */
  openAddress(address: StoreAddress & { readonly name?: string }): Promise<ObjectStore>;
  readonly openEngine: OpenEngine;
}
