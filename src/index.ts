/** `pagefold`: the platform-neutral core. */
export type {
  Brand,
  ByteOffset,
  Hash,
  Lsn,
  PageCount,
  PageIdx,
  SegmentId,
  StateChecksum,
  TimeMs,
  VolumeId,
} from "./base/brand.ts";
export { DEFAULT_PAGE_SIZE, MAX_PAGE_COUNT, MAX_PAGE_SIZE, MIN_PAGE_SIZE } from "./base/brand.ts";
export { type ErrorCode, type ErrorDetails, isPagefoldError, PagefoldError } from "./base/errors.ts";
export { type Distribution, MemoryRecorder, noopRecorder, type Recorder } from "./base/recorder.ts";
export { type Runtime, systemRuntime } from "./base/runtime.ts";
export type { ByteSink, ExportOptions, ExportResult } from "./file/export.ts";
export type { ByteSource, ImportOptions, ImportResult } from "./file/import.ts";
export { stateChecksumToText } from "./format/checksum.ts";
export { type Codecs, loadCodecs, type NativeZstd } from "./format/codecs.ts";
export type { FrameDecoder } from "./format/frame-decoder.ts";
export type { FrameEncoder } from "./format/frame-encoder.ts";
export { PageSet } from "./format/page-set.ts";
export type {
  CollectOptions,
  CollectProgress,
  CollectResult,
  CollectStep,
} from "./history/collect/collect.ts";
export type { SweptCounts, SweptKind } from "./history/collect/sweeper.ts";
export type { CheckpointName } from "./history/compact/checkpoint.ts";
export type {
  CompactionPoint,
  CompactionResult,
  CompactOptions,
} from "./history/compact/compaction-options.ts";
export type { PageClassifier } from "./history/compact/move-pages.ts";
export type {
  DeleteVolumeOptions,
  DeleteVolumeResult,
  UndeleteOptions,
  UndeleteResult,
} from "./history/delete/delete-volume.ts";
export type { DetachOptions, DetachResult } from "./history/fork/detach.ts";
export type { ForkOptions } from "./history/fork/fork.ts";
export type { MergeOptions } from "./history/fork/merge.ts";
export type { PromoteResult, RebaseOptions, RebaseResult } from "./history/fork/promote.ts";
export type { KeptHistory, KeptState } from "./history/keep/kept-history.ts";
export type { Duration, RetentionPolicy, StoredRetention } from "./history/keep/retention.ts";
export type { KeptLsn, Reason } from "./history/keep/retention-plan.ts";
export type { DiffOptions, StateDiff } from "./history/travel/diff.ts";
export type { LogOptions } from "./history/travel/log-filter.ts";
export type { RestoreOptions, RestoreResult } from "./history/travel/restore.ts";
export type { Finding, VerifyProgress } from "./history/verify/run.ts";
export type { DeepCounts } from "./history/verify/token.ts";
export type { VerifyOptions, VerifyResult } from "./history/verify/verify.ts";
export type { CommitFigures, PageRange, SegmentFigures } from "./inspect/commit-figures.ts";
export {
  type FaultFigures,
  FaultLog,
  type FaultLogOptions,
  type FaultReport,
  type QueryFigures,
  type RequestFigures,
} from "./inspect/fault-log.ts";
export type { HistoryFigures, StateFigures } from "./inspect/history-figures.ts";
export {
  type Inspection,
  type InspectOptions,
  inspectVolume,
  type Lag,
  type TableFigures,
  type VolumeFigures,
} from "./inspect/inspection.ts";
export { type RequestEvent, withRequestLog } from "./inspect/request-log.ts";
export { type PageState, type Residency, type ResidencyOptions, residencyOf } from "./inspect/residency.ts";
export type { BlockFile, BlockFileSystem } from "./local/block-file.ts";
export { MemoryBlockFileSystem } from "./local/memory-block-file.ts";
export {
  type HttpAuth,
  HttpObjectStore,
  type HttpStoreOptions,
  type OpenHttpStoreOptions,
  openHttpStore,
} from "./remote/http/http-object-store.ts";
export { MemoryObjectStore } from "./remote/memory-store.ts";
export type {
  Body,
  Bundle,
  ByteRange,
  CommitNews,
  GetOptions,
  ListEntry,
  ListOptions,
  ObjectStore,
  PutOptions,
  StoreCapabilities,
  StoredBytes,
  StoredListing,
  WatchListener,
} from "./remote/object-store.ts";
export { withFaults } from "./remote/with-faults.ts";
export { withHedging } from "./remote/with-hedging.ts";
export { withMetrics } from "./remote/with-metrics.ts";
export { withPrefix } from "./remote/with-prefix.ts";
export { withRetry } from "./remote/with-retry.ts";
export { assertWritable, probeConditionalCreate } from "./remote/writable.ts";
export type { CommitEvent } from "./replicate/context.ts";
export type { FetchResult, PullResult, SyncState } from "./replicate/fetch.ts";
export type { FollowOptions } from "./replicate/follow.ts";
export type { HydrateResult } from "./replicate/hydrate.ts";
export type { LogEntry, LogSegment } from "./replicate/past.ts";
export type { PushResult } from "./replicate/push.ts";
export type { FaultEvent } from "./replicate/supply.ts";
export { PageStore, type PageStoreOptions, type VolumeOptions } from "./store/page-store.ts";
export { defaultSettings, type StoreSettings } from "./store/settings.ts";
export type { TagEntry, TagValueEntry } from "./store/tag-verbs.ts";
export { Volume, type VolumeEvents, type VolumeStatus, type WriteOptions } from "./store/volume.ts";
export type { Snapshot } from "./volume/snapshot.ts";
export type { CommitResult, Transaction } from "./volume/transaction.ts";
