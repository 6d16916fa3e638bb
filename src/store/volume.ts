/**
 * One volume as its users see it: snapshots, transactions, files, replication. Every verb is one call into the layer that does it;
 * nothing is decided here.
 */
import { assert } from "../base/assert.ts";
import type { Lsn, StateChecksum, VolumeId } from "../base/brand.ts";
import type { Emitter } from "../base/emitter.ts";
import { PagefoldError } from "../base/errors.ts";
import type { ByteSink, ExportOptions, ExportResult } from "../file/export.ts";
import type { ByteSource, ImportOptions, ImportResult } from "../file/import.ts";
import { streamOf } from "../file/stream.ts";
import type { CollectOptions, CollectResult } from "../history/collect/collect.ts";
import type { CompactionResult, CompactOptions } from "../history/compact/compaction-options.ts";
import type { DetachOptions, DetachResult } from "../history/fork/detach.ts";
import type { KeptHistory } from "../history/keep/kept-history.ts";
import type { RetentionPolicy, StoredRetention } from "../history/keep/retention.ts";
import type { DiffOptions, StateDiff } from "../history/travel/diff.ts";
import type { LogOptions } from "../history/travel/log-filter.ts";
import type { RestoreOptions, RestoreResult } from "../history/travel/restore.ts";
import type { VerifyOptions, VerifyResult } from "../history/verify/verify.ts";
import type { CommitEvent, ReplicaContext } from "../replicate/context.ts";
import {
  type FetchResult,
  fetchRemote,
  type PullResult,
  pull,
  type ReplicaStatus,
  reset,
  statusOf,
} from "../replicate/fetch.ts";
import type { FollowOptions } from "../replicate/follow.ts";
import type { HydrateOptions, HydrateResult } from "../replicate/hydrate.ts";
import type { LogEntry } from "../replicate/past.ts";
import type { PushResult } from "../replicate/push.ts";
import type { FaultEvent } from "../replicate/supply.ts";
import { residentPages } from "../volume/cached-pages.ts";
import { LocalCommits } from "../volume/local-commits.ts";
import { type LocalCommit, shapeOf } from "../volume/replica.ts";
import { type PageSupply, Snapshot } from "../volume/snapshot.ts";
import {
  type CommitResult,
  type HostedDraft,
  Transaction,
  type TransactionHost,
} from "../volume/transaction.ts";
import { loadVerbs, withVerb, withVerbs } from "./load-verbs.ts";
import type { StoreSettings } from "./settings.ts";

export type Options = { readonly signal?: AbortSignal };

export interface VolumeEvents {
  /** A local commit, or a push that was acknowledged. */
  commit: CommitEvent;
  /** What `status()` says may have changed. */
  status: VolumeStatus;
  /** Pages were missing and were fetched, or failed to be. */
  fault: FaultEvent;
}

export interface VolumeStatus extends ReplicaStatus {
  /** Versions of pages that are resident. */
  readonly residentPages: number;
}

export interface WriteOptions extends Options {
  readonly durability?: "full" | "relaxed";
}

/** What a transaction of a volume knows it by, so that transactions of several volumes can be committed together. */
interface VolumeHost extends TransactionHost {
  readonly volume: Volume;
}

export class Volume {
  readonly id: VolumeId;
  readonly pageSize: number;
  readonly #context: ReplicaContext;
  readonly #supply: PageSupply;
  readonly #settings: StoreSettings;
  readonly #events: Emitter<VolumeEvents>;
  readonly #flushSoon: () => void;
  readonly #durable: () => Promise<void>;
  #closed = false;

  /** @internal Made by PageStore. */
  constructor(parts: {
    readonly context: ReplicaContext;
    readonly supply: PageSupply;
    readonly settings: StoreSettings;
    readonly events: Emitter<VolumeEvents>;
    readonly flushSoon: () => void;
    /** Resolves when what was flushed is on stable storage. */
    readonly durable: () => Promise<void>;
  }) {
    this.#context = parts.context;
    this.#supply = parts.supply;
    this.#settings = parts.settings;
    this.#events = parts.events;
    this.#flushSoon = parts.flushSoon;
    this.#durable = parts.durable;
    this.id = parts.context.replica.manifest.volume;
    this.pageSize = parts.context.replica.manifest.pageSize;
  }

  /** The newest state on this side, local commits included. Close it, so that dropped local commits can be forgotten. */
  snapshot(): Snapshot {
    const { state } = this.#open().replica;
    const { pageCount, byteLength } = shapeOf(state);
    return this.#snapshot({
      lsn: state.base.lsn,
      pageCount,
      byteLength,
      table: state.table,
      commits: state.commits,
      epoch: state.epoch,
    });
  }

  /** Grows whenever the bytes that a new snapshot shows may have changed; a push leaves it. */
  get epoch(): number {
    return this.#open().replica.state.epoch;
  }

  /** The number of the newest local commit, pushed or not; 0 before the first. */
  get lastSequence(): number {
    return this.#open().replica.state.nextSequence - 1;
  }

  /** Pages of this volume's page size that were fetched ahead and nobody has read so far. */
  get prefetchedUnused(): number {
    return this.#open().cache.stats().prefetchedUnused;
  }

  /** Another object whenever a new snapshot would differ in any way, also in where its pages lie. */
  get version(): object {
    return this.#open().replica.state;
  }

  /**
   * The remote state at an earlier LSN, 0 … the replica's, or as of a time: then that of the newest commit which is not later.
   * @throws `not_found` beyond the replica's, or before the first commit
   */
  async at(point: number | Date, options: Options = {}): Promise<Snapshot> {
    const context = this.#open();
    const { lsnAt, stateOf } = await loadVerbs();
    const lsn = typeof point === "number" ? point : await lsnAt(context, point.getTime(), options);
    return this.#snapshot({ ...(await stateOf(context, lsn, options)), commits: LocalCommits.none });
  }

  /** Learns the remote's new commits without moving. */
  fetch(options: Options = {}): Promise<FetchResult> {
    return this.#timed("fetch", (context) => fetchRemote(context, options));
  }

  /** Fetches and moves to the newest remote commit; open snapshots stay where they are. @throws `diverged` */
  pull(options: Options = {}): Promise<PullResult> {
    return this.#timed("pull", (context) => pull(context, options));
  }

  /**
   * Moves with the remote log as it grows, and yields every move; ends when the signal fires. Live where the store tells of commits (a Pagefold
   * server), else by looking every `pollMs`. Local commits keep it where it is: the status says `diverged` then.
   */
  follow(options: FollowOptions = {}): AsyncGenerator<PullResult, void, undefined> {
    const context = this.#open();
    return withVerb(({ follow }) => follow(context, options));
  }

  /** Sends all local commits as one remote commit. @throws `diverged`, `unavailable` */
  push(options: Options = {}): Promise<PushResult> {
    return this.#timed("push", (context) => withVerbs(({ push }) => push(context, options)));
  }

  /**
   * Drops local commits that were not pushed; finishes an unfinished push first.
   * @param options.pull and moves to the newest remote commit; where that cannot be learned (`unavailable`), nothing is dropped
   */
  reset(options: Options & { readonly pull?: boolean } = {}): Promise<{ readonly dropped: number }> {
    return this.#timed("reset", (context) => reset(context, options));
  }

  /**
   * Makes the state at an earlier LSN or time the newest again, as one more remote commit that shares the old pages.
   * @throws `conflict` with local commits, `not_found` where that state is not kept, `diverged` when another writer was faster
   */
  restore(options: RestoreOptions): Promise<RestoreResult> {
    return this.#timed("restore", (context) =>
      withVerbs(({ restoreVolume }) => restoreVolume(context, options)),
    );
  }

  /** Where this side and the remote stand, as of the last fetch. No request. */
  status(): VolumeStatus {
    const context = this.#open();
    return { ...statusOf(context), residentPages: residentPages(context.cache, context.replica) };
  }

  /** Fetches every page of the remote state that the replica stands on, and proves the whole. */
  hydrate(options: HydrateOptions = {}): Promise<HydrateResult> {
    return this.#timed("hydrate", (context) => withVerbs(({ hydrate }) => hydrate(context, options)));
  }

  /** The remote log, newest first, from the replica's place; or what is wanted of it. */
  log(options: LogOptions = {}): AsyncGenerator<LogEntry, void, undefined> {
    const context = this.#open();
    return withVerb(({ readLog }) => readLog(context, options));
  }

  /** The newest commit at a time, of those that this side has seen. @throws `not_found` before the first */
  lsnAt(time: Date, options: Options = {}): Promise<Lsn> {
    const context = this.#open();
    return withVerbs(({ lsnAt }) => lsnAt(context, time.getTime(), options));
  }

  /**
   * Which pages differ between two points of the log, LSNs (0: nothing yet) or times, in either order. Fetches no page.
   * @throws `not_found` for a point that this side has not seen
   */
  diff(a: number | Date, b: number | Date, options: DiffOptions = {}): Promise<StateDiff> {
    const context = this.#open();
    return withVerbs(({ diffStates }) => diffStates(context, a, b, options));
  }

  /**
   * Checks a remote state against the store, and nothing of what this side has cached: the log, every frame, index and digest, the state checksum; or a sample of
   * it; or, `deep`, every state that is kept. Cut off, it goes on with `resume`.
   * @throws `corrupt` naming the first bad thing, unless `options.keepGoing`
   */
  verify(options: VerifyOptions = {}): Promise<VerifyResult> {
    const context = this.#open();
    return withVerbs(({ verify }) => verify(context, options));
  }

  /**
   * Puts the stored pages of the remote state that the replica stands on in order: many small segments become few large ones. Others read, write and push
   * meanwhile; what this leaves behind is for a collection to delete. Aborting keeps the steps that are done.
   * @throws `conflict` where others compact at the same time and keep being faster
   */
  compact(options: CompactOptions = {}): Promise<CompactionResult> {
    return this.#timed(
      "compact",
      (context) => withVerbs(({ compactVolume }) => compactVolume(context, options)),
      // Its steps are not to be told of twice.
      { twice: false },
    );
  }

  /** What of the volume's history is kept, for everybody: `{}` is all of it. */
  retention(options: Options = {}): Promise<StoredRetention> {
    const context = this.#open();
    return withVerbs(({ getRetention }) => getRetention(context, options));
  }

  /** What is kept of the volume's history now, in figures. One request as a rule, and the newest checkpoint where this side does not have it. */
  kept(options: Options = {}): Promise<KeptHistory> {
    const context = this.#open();
    return withVerbs(({ keptHistory }) => keptHistory(context, options));
  }

  /** Makes a policy hold from now on; deletes nothing. @throws `conflict` where somebody else set one at the same time, `invalid` for what is none */
  setRetention(policy: RetentionPolicy, options: Options = {}): Promise<StoredRetention> {
    return this.#timed("setRetention", (context) =>
      withVerbs(({ setRetention }) => setRetention(context, policy, options)),
    );
  }

  /**
   * Deletes from the remote what its retention does not keep and nobody needs: forks, restores, and what readers opened within the grace period stay readable.
   * The first collection after a policy was set frees little; what may still be open goes with one that runs after `moreAt`.
   * @throws `busy` where another collection or compaction is under way
   */
  collect(options: CollectOptions = {}): Promise<CollectResult> {
    return this.#timed(
      "collect",
      (context) => withVerbs(({ collectVolume }) => collectVolume(context, options)),
      {
        twice: false,
      },
    );
  }

  /** Copies what a fork shares with its ancestors, so that it needs nothing of theirs. */
  detach(options: DetachOptions = {}): Promise<DetachResult> {
    return this.#timed(
      "detach",
      (context) => withVerbs(({ detachVolume }) => detachVolume(context, options)),
      {
        twice: false,
      },
    );
  }

  /**
   * Waits for its turn to write; changes are one local commit, or none at all. End it with commit or rollback.
   * @param options.snapshot what the changes will be based on: @throws `conflict` when the volume has moved on from it
   */
  async begin(options: WriteOptions & { readonly snapshot?: Snapshot } = {}): Promise<Transaction> {
    const context = this.#open();
    return this.#transaction(options, await context.writers.acquire(options.signal));
  }

  /**
   * `begin` without waiting: undefined where another writer has its turn.
   * @throws `conflict` where the volume has moved on from `options.snapshot`
   */
  tryBegin(
    options: Omit<WriteOptions, "signal"> & { readonly snapshot?: Snapshot } = {},
  ): Transaction | undefined {
    const release = this.#open().writers.tryAcquire();
    return release === undefined ? undefined : this.#transaction(options, release);
  }

  /** Reads bytes of the newest state; shorter where the volume ends. */
  async read(offset: number, length: number, options: Options = {}): Promise<Uint8Array> {
    const snapshot = this.snapshot();
    try {
      return await snapshot.read(offset, length, options);
    } finally {
      snapshot.close();
    }
  }

  /** Writes bytes, whole or streamed, as one local commit. */
  async write(
    offset: number,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    options: WriteOptions = {},
  ): Promise<CommitResult> {
    return this.#inTransaction(options, (transaction) =>
      withVerbs(({ bufferedWrites }) => bufferedWrites(transaction, offset, bytes, options)),
    );
  }

  /** Makes the volume exactly so many bytes long, as one local commit. */
  async truncate(byteLength: number, options: WriteOptions = {}): Promise<CommitResult> {
    return this.#inTransaction(options, (transaction) => transaction.truncate(byteLength, options));
  }

  /** The bytes of a state as a web stream, read ahead of the consumer by one chunk; cancelling it stops fetching. */
  stream(
    options: Options & {
      readonly offset?: number;
      readonly length?: number;
      readonly snapshot?: Snapshot;
    } = {},
  ): ReadableStream<Uint8Array> {
    const own = options.snapshot === undefined ? this.snapshot() : undefined;
    return streamOf(options.snapshot ?? own!, options, () => own?.close());
  }

  /** Makes the volume equal to a source, as one remote commit that holds only what changed. */
  import(source: ByteSource, options: ImportOptions = {}): Promise<ImportResult> {
    // A source is read once.
    return this.#timed(
      "import",
      (context) => withVerbs(({ importSource }) => importSource(context, source, options)),
      { twice: false },
    );
  }

  /** Writes a state into a sink and proves it: the newest on this side, or that of an LSN. */
  async export(
    sink: ByteSink,
    options: ExportOptions & { readonly lsn?: number } = {},
  ): Promise<ExportResult> {
    const context = this.#open();
    const { state } = context.replica;
    if (options.lsn !== undefined) {
      const { exportState, stateOf } = await loadVerbs();
      const remote = await stateOf(context, options.lsn, options);
      return exportState(context, { ...remote, remote, commits: LocalCommits.none }, sink, options);
    }
    const release = context.log.hold(state.commits);
    try {
      const { pageCount, byteLength } = shapeOf(state);
      const exported = {
        remote: state.base,
        table: state.table,
        pageCount,
        byteLength,
        commits: state.commits,
      };
      return await withVerbs(({ exportState }) => exportState(context, exported, sink, options));
    } finally {
      release();
    }
  }

  /** The state checksum of the remote commit that the replica stands on. */
  get stateChecksum(): StateChecksum {
    return this.#open().replica.state.base.stateChecksum;
  }

  /** Answers how to stop listening. */
  on<Name extends keyof VolumeEvents>(name: Name, listener: (event: VolumeEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** @internal The store closes its volumes. */
  markClosed(): void {
    this.#closed = true;
  }

  /** Takes the writer's turn over, which ends with the transaction. */
  #transaction(options: WriteOptions & { readonly snapshot?: Snapshot }, release: () => void): Transaction {
    try {
      const context = this.#open();
      const base = this.snapshot();
      if (options.snapshot !== undefined && options.snapshot.epoch !== base.epoch) {
        base.close();
        throw staleSnapshot(this.id);
      }
      const { log, replica } = context;
      const transaction = log.newTransaction();
      const durability = options.durability ?? this.#settings.durability;
      const host: VolumeHost = {
        volume: this,
        budgetBytes: this.#settings.transactionBytes,
        transaction,
        sum: (bytes) => log.sum(bytes),
        spill: (pages, bytes) => log.spill(replica, transaction, pages, bytes),
        forget: (batch) => log.endSpills([batch]),
        commitAll: (drafts) => this.#commitAll(drafts, durability),
        ended: (spilled) => {
          log.endSpills(spilled);
          release();
        },
      };
      return new Transaction(base, host);
    } catch (error) {
      release();
      throw error;
    }
  }

  #commitAll(drafts: readonly HostedDraft[], durability: "full" | "relaxed"): LocalCommit[] {
    const { log, runtime } = this.#open();
    const time = runtime.now();
    const volumes = drafts.map(({ host }) => (host as VolumeHost).volume);
    const parts = drafts.map(({ base, draft }, i) => {
      const volume = volumes[i]!;
      const { replica, log: itsLog } = volume.#open();
      assert(itsLog === log, "committing volumes of several stores together");
      if (base.epoch !== replica.state.epoch) throw staleSnapshot(volume.id);
      return { replica, commit: { ...draft, time } };
    });
    const commits = log.commitAll(parts, durability);
    if (durability === "relaxed") this.#flushSoon();
    commits.forEach((commit, i) => {
      const { id } = volumes[i]!;
      const context = volumes[i]!.#context;
      const changedPages = commit.changed.size + commit.zeroed.size;
      context.onCommit({ volume: id, lsn: context.replica.state.base.lsn, where: "local", changedPages });
      context.onStatus();
    });
    return commits;
  }

  async #inTransaction(
    options: WriteOptions,
    work: (transaction: Transaction) => Promise<void>,
  ): Promise<CommitResult> {
    const transaction = await this.begin(options);
    try {
      await work(transaction);
      const result = transaction.commit();
      if ((options.durability ?? this.#settings.durability) === "full") await this.#durable();
      return result;
    } finally {
      transaction.rollback();
    }
  }

  #snapshot(state: ConstructorParameters<typeof Snapshot>[1]): Snapshot {
    const { replica, log, cache } = this.#context;
    return new Snapshot({ replica, log, cache, supply: this.#supply }, state);
  }

  /** A span per verb, `volume.<verb>.duration_ms`, with its failures. */
  async #timed<T>(
    verb: string,
    work: (context: ReplicaContext) => Promise<T>,
    { twice = true }: { readonly twice?: boolean } = {},
  ): Promise<T> {
    const context = this.#open();
    const end = context.recorder.span(`volume.${verb}`, { volume: this.id });
    try {
      const result = await (twice ? context.remote.orSingly(() => work(context)) : work(context));
      end();
      return result;
    } catch (error) {
      end(error);
      throw error;
    }
  }

  #open(): ReplicaContext {
    if (this.#closed)
      throw new PagefoldError("closed", `volume ${this.id} was closed with its store; open the store again`);
    return this.#context;
  }
}

function staleSnapshot(volume: VolumeId): PagefoldError {
  return new PagefoldError(
    "conflict",
    `volume ${volume} has moved on from the snapshot that these changes build on; make them again on a new snapshot`,
    {
      details: { volume },
    },
  );
}
