/** Everything that the routes work with: components, made once by `createServer` and handed down. */
import type { Recorder } from "../../src/base/recorder.ts";
import type { Runtime } from "../../src/base/runtime.ts";
import type { Codecs } from "../../src/format/codecs.ts";
import type { FrameDecoder } from "../../src/format/frame-decoder.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { Access } from "./access.ts";
import type { BodyLimits, Purse } from "./body.ts";
import type { CachedStore } from "./cache/with-cache.ts";
import type { EventHub } from "./events/hub.ts";
import type { KeptObjects } from "./kept.ts";
import type { Locks } from "./locks.ts";
import type { Authenticate } from "./principal.ts";
import type { ServerSettings } from "./settings.ts";
import type { CheckedCheckpoints } from "./verify/checkpoint.ts";
import type { VerifiedSegments } from "./verify/segment.ts";
import type { VolumeLogs } from "./volume-logs.ts";

export interface ServerContext {
  /** Answers from memory where it may. */
  readonly store: CachedStore;
  /** The same store without a cache: for what must be true now. */
  readonly origin: ObjectStore;
  readonly codecs: Codecs;
  readonly decoder: FrameDecoder;
  readonly runtime: Runtime;
  readonly recorder: Recorder;
  readonly settings: ServerSettings;
  /** Undefined: everybody may do everything. */
  readonly authenticate: Authenticate | undefined;
  readonly access: Access;
  readonly logs: VolumeLogs;
  readonly events: EventHub;
  /** One writer of a volume at a time within this server. */
  readonly locks: Locks;
  readonly uploads: Purse;
  readonly verified: VerifiedSegments;
  readonly checkpoints: CheckedCheckpoints;
  /** What floors keep. */
  readonly kept: KeptObjects;
  /** Told what the server could not answer for a reason of its own or its store's; for logs. */
  readonly onError?: (error: unknown, request: Request) => void;
  /** @throws `forbidden` where the store cannot be written safely; found out once */
  writable(): Promise<void>;
  /** The version of the package, for `GET /v1`. */
  readonly version: string;
}

/** How bodies up to so many bytes are read. */
export function bodyLimits({ settings, runtime }: ServerContext, maxBytes: number): BodyLimits {
  const { bodyIdleMs: idleMs, bodyBytesPerSecond: bytesPerSecond } = settings;
  return { maxBytes, idleMs, bytesPerSecond, runtime };
}
