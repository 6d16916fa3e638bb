/**
 * The replicas of one local store and the record log behind them. Every change is written down before it takes effect, and
 * replaying the log gives the same replicas. Knows records and states; decides nothing about replication.
 */
import { assert } from "../base/assert.ts";
import type { PageCount, TimeMs, VolumeId } from "../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import type { Recorder } from "../base/recorder.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Codecs } from "../format/codecs.ts";
import type { PageSet } from "../format/page-set.ts";
import { encodeRollup } from "../format/rollup-codec.ts";
import { encodeBaseRecord } from "../local/base-record.ts";
import type { BlockFileSystem } from "../local/block-file.ts";
import { encodeForkRecord, encodePlanRecord, type ForkPlan } from "../local/fork-records.ts";
import { RecordLog, type RecordRef } from "../local/record-log.ts";
import {
  encodeCommitRecord,
  encodeForgetRecord,
  encodeIntentRecord,
  encodeOutcomeRecord,
  encodeResetRecord,
  encodeSpillRecord,
  encodeSyncRecord,
  encodeTagRecord,
  encodeTogetherRecord,
  encodeVolumeRecord,
  type IntentRecord,
  type OutcomeRecord,
  RecordType,
} from "../local/replica-records.ts";
import type { LocalCommits } from "./local-commits.ts";
import { advance, type ChainStep, hashOf, type RemoteState } from "./remote-state.ts";
import type { LocalCommit, Replica, StoredBatch } from "./replica.ts";
import { type BatchPlace, baseRecord, writeLive } from "./replica-compaction.ts";
import { ReplicaTable } from "./replica-table.ts";

export interface ReplicaLogOptions {
  readonly codecs: Codecs;
  readonly runtime: Runtime;
  readonly recorder: Recorder;
  /** The log is compacted when it is larger than this and than twice what is live; bytes, default 64 MiB. */
  readonly compactAboveBytes?: number;
  /** Asked when the files are full: gives room to the log, and answers whether there is any. Default: there is none. */
  readonly makeRoom?: (bytes: number) => boolean;
}

/**
 * Local commits leave room in the log, so that what pushes them can still be written down where nothing else can: the commit object (1 MiB at most, and
 * not more than they are themselves), its rollups, the outcome.
 */
const SPARE_BYTES_MAX = 1.25 * 2 ** 20;
const SPARE_BYTES_MIN = 16 * 1024;

interface AppendOptions {
  /** Leave room for what pushes it; default false. */
  readonly spare?: boolean;
  /** False where records were appended that no replica knows of so far: compaction would leave them behind. */
  readonly mayCompact?: boolean;
}

/** A new local commit: what it says of itself, its pages, and what its transaction had spilled. */
export interface NewCommit {
  readonly pageCount: PageCount;
  readonly lowestPageCount: PageCount;
  readonly byteLength: number;
  readonly time: TimeMs;
  readonly zeroed: PageSet;
  readonly pages: PageSet;
  /** One for each of `pages`, and the `sum` of each. */
  readonly bytes: readonly Uint8Array[];
  readonly sums: BigUint64Array;
  readonly transaction: number;
  readonly spilled: readonly StoredBatch[];
}

export class ReplicaLog {
  readonly #options: ReplicaLogOptions;
  readonly #table: ReplicaTable;
  /** Spilled batches of transactions that are open now. */
  readonly #uncommitted = new Set<StoredBatch>();
  /**
   * Commits that open snapshots still read, though they may have been pushed or dropped; with how many do. By the list, which never
   * changes, so that taking a snapshot costs nothing per commit.
   */
  readonly #held = new Map<LocalCommits, number>();
  #log!: RecordLog;
  /** What compaction left: the log is let grow to twice that. */
  #compactedBytes = 0;

  private constructor(options: ReplicaLogOptions) {
    this.#options = options;
    this.#table = new ReplicaTable(options.codecs.hash);
  }

  static async open(files: BlockFileSystem, options: ReplicaLogOptions): Promise<ReplicaLog> {
    const replicas = new ReplicaLog(options);
    replicas.#log = await RecordLog.open(files, {
      xxh64: options.codecs.hash,
      runtime: options.runtime,
      recorder: options.recorder,
      visit: (type, payload, ref) => replicas.#table.replay(type, payload, ref),
    });
    replicas.#table.replayed();
    replicas.#maybeCompact();
    return replicas;
  }

  all(): Iterable<Replica> {
    return this.#table.all();
  }

  /** By volume id or tag. */
  find(name: string): Replica | undefined {
    return this.#table.find(name);
  }

  /** Follows a volume from now on, at LSN 0. */
  addVolume(manifest: Uint8Array): Replica {
    const handle = this.#newHandle();
    this.#append(RecordType.volume, [encodeVolumeRecord({ handle, manifest })]);
    this.#log.flush();
    return this.#table.learnVolume(handle, manifest);
  }

  /** Remembers that a fork was begun, or that it was given up, so that running it again finishes it. */
  planFork(parent: Replica, plan: ForkPlan | undefined): void {
    this.#append(RecordType.plan, [encodePlanRecord({ handle: parent.handle, plan })]);
    this.#log.flush();
    this.#table.learnPlan(parent, plan);
  }

  /**
   * A fork exists: follows it from now on, where this store does not already, and makes the parent's local commits up to `throughSequence`
   * (0: none) the fork's. One record, so that at no time they are nobody's or both's; nothing is copied.
   */
  addFork(parent: Replica, manifest: Uint8Array, volume: VolumeId, throughSequence: number): Replica {
    const handle = this.find(volume)?.handle ?? this.#newHandle();
    const record = { parent: parent.handle, handle, throughSequence, manifest };
    this.#append(RecordType.fork, [encodeForkRecord(record)]);
    this.#log.flush();
    return this.#table.learnFork(record);
  }

  /** From now on `tag` names this volume and no other. */
  addTag(replica: Replica, tag: string): void {
    if (replica.tags.has(tag)) return;
    this.#append(RecordType.tag, [encodeTagRecord({ handle: replica.handle, tag })]);
    this.#log.flush();
    this.#table.learnTag(replica, tag);
  }

  /** The replica moves along the remote log; it must have no local commits. */
  sync(replica: Replica, steps: readonly ChainStep[]): void {
    const last = steps[steps.length - 1];
    if (last === undefined) return;
    assert(replica.state.commits.length === 0, "moving a replica under its local commits");
    const rollups = steps.flatMap((step) =>
      [...step.rollups]
        .reverse()
        .map((rollup) => ({ from: rollup.from, to: rollup.to, bytes: encodeRollup(rollup) })),
    );
    const record = { handle: replica.handle, whole: false, header: last.stored, rollups };
    this.#append(RecordType.sync, [encodeSyncRecord(record)]);
    this.#log.flush();
    this.#table.move(replica, advance(replica.state.base, steps), last.stored);
    this.#maybeCompact();
  }

  /** The replica stands on a state to which no steps lead from where it stood; it must have no local commits. */
  rebase(replica: Replica, base: RemoteState, header: Uint8Array): void {
    assert(replica.state.commits.length === 0, "moving a replica under its local commits");
    replica.directory.learnHash(base.lsn, hashOf(base));
    this.#append(RecordType.base, [encodeBaseRecord(baseRecord(replica, base, header))]);
    this.#log.flush();
    this.#table.move(replica, base, header);
    this.#maybeCompact();
  }

  newTransaction(): number {
    return this.#table.nextTransaction++;
  }

  /** Writes part of a transaction, without a flush: it is forgotten unless a commit names it. */
  spill(replica: Replica, transaction: number, pages: PageSet, bytes: readonly Uint8Array[]): StoredBatch {
    // What was rolled back, and what was spilled again since, would else fill the disk.
    this.#maybeCompact();
    const sums = this.#sums(bytes);
    const head = encodeSpillRecord({ handle: replica.handle, transaction }, pages, sums);
    const ref = this.#append(RecordType.spill, [head, ...bytes], { spare: true });
    const batch = { pages, sums, dataOffset: head.length, ref };
    this.#uncommitted.add(batch);
    return batch;
  }

  /** Nobody needs these spills as such any more: their transaction has ended, committed or not, or has written all their pages again. */
  endSpills(batches: readonly StoredBatch[]): void {
    for (const batch of batches) this.#uncommitted.delete(batch);
  }

  /** Of a page, as it is kept with the page in the log. */
  sum(page: Uint8Array): bigint {
    return this.#options.codecs.hash.xxh64(page);
  }

  /**
   * Makes local commits, at most one of each replica: durable now, or with the next `flush`. Of several either all are there after a crash or
   * none. Nothing of them is seen when writing them down fails.
   */
  commitAll(
    commits: readonly { readonly replica: Replica; readonly commit: NewCommit }[],
    durability: "full" | "relaxed",
  ): LocalCommit[] {
    const type = commits.length === 1 ? RecordType.commit : RecordType.part;
    const written = commits.map(({ replica, commit }, i) => {
      const { pages, bytes, sums, spilled } = commit;
      const record = {
        ...commit,
        handle: replica.handle,
        sequence: replica.state.nextSequence,
        transaction: spilled.length === 0 ? 0 : commit.transaction,
      };
      const head = encodeCommitRecord(record, pages, sums);
      const ref = this.#append(type, [head, ...bytes], { spare: true, mayCompact: i === 0 });
      return { replica, record, batches: [...spilled, { pages, sums, dataOffset: head.length, ref }] };
    });
    if (type === RecordType.part)
      this.#append(RecordType.together, [encodeTogetherRecord(commits.length)], { mayCompact: false });
    if (durability === "full") this.#log.flush();
    return written.map(({ replica, record, batches }) => this.#table.learnCommit(replica, record, batches));
  }

  flush(): void {
    this.#log.flush();
  }

  /** Whether only `durable` can say that what was flushed is on stable storage: see BlockFile. */
  get deferred(): boolean {
    return this.#log.durability === "deferred";
  }

  /** Resolves when everything flushed so far is on stable storage: at once, unless that is `deferred`. @throws `quota`; trying again may help */
  async durable(): Promise<void> {
    if (this.deferred) await this.#log.durable();
  }

  beginPush(replica: Replica, intent: Omit<IntentRecord, "handle">): void {
    assert(replica.state.intent === undefined, "beginning a push while the outcome of another is open");
    const record = { handle: replica.handle, ...intent };
    this.#append(RecordType.intent, [encodeIntentRecord(record)]);
    this.#log.flush();
    replica.state = { ...replica.state, intent: record };
  }

  /** How the open push ended; when it won, the replica moves onto its own commit. */
  endPush(replica: Replica, result: OutcomeRecord["result"]): void {
    const { intent } = replica.state;
    assert(intent !== undefined, "ending a push that was not begun");
    this.#append(RecordType.outcome, [
      encodeOutcomeRecord({ handle: replica.handle, lsn: intent.lsn, result }),
    ]);
    this.#log.flush();
    this.#table.learnOutcome(replica, result);
    this.#maybeCompact();
  }

  /** Drops local commits up to `throughSequence`. */
  reset(replica: Replica, throughSequence: number): void {
    assert(replica.state.intent === undefined, "resetting under an unfinished push");
    this.#append(RecordType.reset, [encodeResetRecord({ handle: replica.handle, throughSequence })]);
    this.#log.flush();
    this.#table.dropCommits(replica, throughSequence);
    this.#maybeCompact();
  }

  forget(replica: Replica): void {
    this.#append(RecordType.forget, [encodeForgetRecord(replica.handle)]);
    this.#log.flush();
    this.#table.forget(replica.handle);
  }

  /** Reads one page of a local commit into `into`, verified. */
  readPage(replica: Replica, commit: LocalCommit, page: number, into: Uint8Array): void {
    for (let i = commit.batches.length - 1; i >= 0 && !commit.zeroed.has(page); i--) {
      const batch = commit.batches[i]!;
      if (!batch.pages.has(page)) continue;
      this.readBatch(replica, batch, page, into);
      return;
    }
    into.fill(0);
  }

  /** The sum of a page of a local commit; undefined where the commit zeroed it. */
  sumOf(commit: LocalCommit, page: number): bigint | undefined {
    for (let i = commit.batches.length - 1; i >= 0 && !commit.zeroed.has(page); i--) {
      const { pages, sums } = commit.batches[i]!;
      if (pages.has(page)) return sums[pages.rankOf(page)];
    }
    return undefined;
  }

  /** Reads one page of a batch that holds it, verified. */
  readBatch(replica: Replica, batch: StoredBatch, page: number, into: Uint8Array): void {
    const rank = batch.pages.rankOf(page);
    this.#log.read(batch.ref, batch.dataOffset + rank * replica.manifest.pageSize, into);
    if (this.#options.codecs.hash.xxh64(into) !== batch.sums[rank]) throw badLocalPage(replica, page);
  }

  /** Keeps the bytes of some commits readable until the result is called, whatever happens to the commits. */
  hold(commits: LocalCommits): () => void {
    if (commits.length === 0) return () => {};
    this.#held.set(commits, (this.#held.get(commits) ?? 0) + 1);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const holders = this.#held.get(commits)! - 1;
      if (holders === 0) this.#held.delete(commits);
      else this.#held.set(commits, holders);
    };
  }

  async close(): Promise<void> {
    await this.#log.close();
  }

  #newHandle(): number {
    for (;;) {
      const random = this.#options.runtime.randomBytes(new Uint8Array(4));
      const handle = new DataView(random.buffer, random.byteOffset).getUint32(0);
      if (handle !== 0 && !this.#table.has(handle)) return handle;
    }
  }

  #append(type: number, parts: readonly Uint8Array[], options: AppendOptions = {}): RecordRef {
    const { spare = false, mayCompact = true } = options;
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    const spareBytes = spare ? Math.min(SPARE_BYTES_MAX, SPARE_BYTES_MIN + this.#log.size + bytes) : 0;
    for (let compacted = !mayCompact; ; ) {
      try {
        return this.#log.append(type, parts, spareBytes);
      } catch (error) {
        if (!isPagefoldError(error, "quota")) throw error;
        // Where files grow by doubling what they may take, as in Chromium's OPFS, that is what must be free.
        if (this.#options.makeRoom?.(bytes + spareBytes + 2 * this.#log.size) === true) continue;
        if (compacted || this.#log.size <= 2 * this.#liveBytes() || !this.#compact()) throw error;
        compacted = true;
      }
    }
  }

  #sums(pages: readonly Uint8Array[]): BigUint64Array {
    return BigUint64Array.from(pages, (page) => this.sum(page));
  }

  #maybeCompact(): void {
    const limit = this.#options.compactAboveBytes ?? 64 * 2 ** 20;
    if (this.#log.size > Math.max(limit, 2 * this.#compactedBytes, 2 * this.#liveBytes())) this.#compact();
  }

  #compact(): boolean {
    let moved: ReadonlyMap<StoredBatch, BatchPlace> = new Map();
    try {
      this.#log.rewrite((append) => {
        moved = writeLive(
          {
            replicas: this.#table.all(),
            uncommitted: this.#uncommitted,
            held: this.#heldBatches(),
            payload: (batch) => this.#payload(batch),
          },
          append,
        );
      });
    } catch (error) {
      // What led here is durable already; where there is no room for a second log, the first goes on growing.
      if (!isPagefoldError(error, "quota")) throw error;
      this.#options.recorder.count("local.log.rewrite_failed");
      return false;
    }
    for (const [batch, place] of moved) Object.assign(batch, place);
    this.#compactedBytes = this.#log.size;
    return true;
  }

  #heldBatches(): Set<StoredBatch> {
    const batches = new Set<StoredBatch>();
    for (const commits of this.#held.keys())
      for (const commit of commits) for (const batch of commit.batches) batches.add(batch);
    return batches;
  }

  #liveBatches(): Set<StoredBatch> {
    const batches = new Set([...this.#heldBatches(), ...this.#uncommitted]);
    for (const { state } of this.#table.all()) {
      for (const commit of state.commits) for (const batch of commit.batches) batches.add(batch);
    }
    return batches;
  }

  #liveBytes(): number {
    let bytes = 0;
    for (const batch of this.#liveBatches()) bytes += batch.ref.length;
    for (const { state } of this.#table.all()) bytes += 256 + (state.intent?.object.length ?? 0);
    return bytes;
  }

  #payload(batch: StoredBatch): Uint8Array {
    const payload = new Uint8Array(batch.ref.length);
    this.#log.read(batch.ref, 0, payload);
    return payload;
  }
}

function badLocalPage(replica: Replica, page: number): PagefoldError {
  const volume: VolumeId = replica.manifest.volume;
  return new PagefoldError(
    "corrupt",
    `page ${page} of a local commit of volume ${volume} that was not pushed does not match its checksum; the disk lost it: ` +
      "reset the local commits, or restore the local directory",
    { details: { volume, page } },
  );
}
