/** What `Database` needs of a platform: a thread of its own for SQL, and stores by URL. */
import type { WorkerSetup } from "./protocol.ts";

export interface SqlWorker {
  /** Sends the setup with the ports that it holds. */
  start(setup: WorkerSetup): void;
  /** Called once when the thread has ended, with the reason where it failed. */
  onEnd(listener: (error: unknown) => void): void;
  /** Ends the thread wherever it is. */
  terminate(): Promise<void>;
}

/** A store by its URL: a directory, `file:`, `s3://bucket/prefix`. */
export interface StoreAddress {
  readonly url: string;
  /** S3 only. */
  readonly endpoint?: string;
  /** S3 only. */
  readonly region?: string;
}
