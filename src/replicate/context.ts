/**
 * Everything that replication of one volume works with. Components, not settings; made by the store façade, handed to every verb
 * of this folder. Mutable are only the replica's state and what was learned last of the remote.
 */
import type { Hash, Lsn } from "../base/brand.ts";
import type { Recorder } from "../base/recorder.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Semaphore } from "../base/semaphore.ts";
import type { Codecs } from "../format/codecs.ts";
import type { FrameDecoder } from "../format/frame-decoder.ts";
import type { FrameEncoder } from "../format/frame-encoder.ts";
import type { PageCache } from "../local/page-cache.ts";
import type { BundledStore } from "../remote/bundled-store.ts";
import type { ChainStep } from "../volume/remote-state.ts";
import type { Replica } from "../volume/replica.ts";
import type { ReplicaLog } from "../volume/replica-log.ts";
import type { BuiltState, StateSource } from "./build-state.ts";
import type { FramePlanContext } from "./commit-lookup.ts";
import type { FinishedCommit } from "./commit-writer.ts";
import type { Fetcher } from "./fetcher.ts";

export interface CommitEvent {
  readonly volume: string;
  /** The remote LSN of a push; the LSN that a local commit builds on. */
  readonly lsn: Lsn;
  readonly where: "local" | "remote";
  readonly changedPages: number;
}

/** The way to the newest remote commit: steps from the replica's base, or, where there are none from there, the whole state. */
export interface LearnedRemote {
  readonly lsn: Lsn;
  readonly steps: readonly ChainStep[];
  readonly built?: BuiltState | undefined;
}

export interface ReplicaContext {
  readonly replica: Replica;
  readonly log: ReplicaLog;
  readonly cache: PageCache;
  readonly remote: BundledStore;
  readonly fetcher: Fetcher;
  readonly frames: FramePlanContext;
  readonly codecs: Codecs;
  readonly encoder: FrameEncoder;
  readonly decoder: FrameDecoder;
  readonly runtime: Runtime;
  readonly recorder: Recorder;
  /** Pages per frame times the page size; default 64 KiB. */
  readonly frameBytes: number;
  /** Bands of a commit beyond this many bytes are stored apart; default 1 MiB. */
  readonly rideAlongBytes?: number;
  /** One push, pull or reset of the volume at a time. */
  readonly moves: Semaphore;
  /** One writer of the volume at a time, fair. */
  readonly writers: Semaphore;
  /** The newest remote commit that was learned of, and the way there. */
  learned: LearnedRemote | undefined;
  /** Whether the remote was seen to hold the very commit that the replica stands on. */
  confirmed: boolean;
  /** The newest checkpoint that is known, and may be relied on: the next commit names it. */
  checkpoint?: { readonly lsn: Lsn; readonly hash: Hash };
  /** What is under way in the background after a push: it must have ended before the store is closed. */
  background?: { readonly done: Promise<void>; abort(): void };
  /** The hint of a push that is being written, for readers who cannot list: a store is closed when it is there. */
  hinting?: Promise<void>;
  onCommit(event: CommitEvent): void;
  /** After a push was acknowledged. */
  onPushed?(commit: FinishedCommit): void;
  onStatus(): void;
}

/** What building older states of the volume needs. */
export function sourceOf({ replica, codecs, remote, fetcher }: ReplicaContext): StateSource {
  return {
    directory: replica.directory,
    codecs,
    remote,
    originHash: replica.originHash,
    run: (plan, signal) => fetcher.run(plan, signal),
  };
}
