/**
 * The replicas of one local store and the record log behind them. Every change is written down before it takes effect, and
 * replaying the log gives the same replicas. Knows records and states; decides nothing about replication.
 */
import { assert } from "../base/assert.ts";
import type { Hash, Lsn, PageCount, TimeMs, VolumeId } from "../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import type { Recorder } from "../base/recorder.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Codecs } from "../format/codecs.ts";
import { type DecodedCommit, decodeCommit } from "../format/commit-codec.ts";
import { bandInterval } from "../format/jumps.ts";
import { decodeManifest } from "../format/manifest-codec.ts";
import { PageSet } from "../format/page-set.ts";
import { decodeRollup, encodeRollup, rollupOfCommit } from "../format/rollup-codec.ts";
import type { BlockFileSystem } from "../local/block-file.ts";
import { RecordLog, type RecordRef } from "../local/record-log.ts";
import {
  type CommitRecord,
  decodeCommitRecord,
  decodeForgetRecord,
  decodeIntentRecord,
  decodeOutcomeRecord,
  decodeResetRecord,
  decodeSpillRecord,
  decodeSyncRecord,
  decodeTagRecord,
  decodeVolumeRecord,
  encodeCommitRecord,
  encodeForgetRecord,
  encodeIntentRecord,
  encodeOutcomeRecord,
  encodeResetRecord,
  encodeSpillRecord,
  encodeSyncRecord,
  encodeTagRecord,
  encodeVolumeRecord,
  type IntentRecord,
  type OutcomeRecord,
  type PageBatch,
  RecordType,
} from "../local/replica-records.ts";
import { CommitDirectory } from "./commit-directory.ts";
import { advance, type ChainStep, emptyState, stateAt } from "./remote-state.ts";
import { type LocalCommit, overlay, type Replica, type ReplicaState, type StoredBatch } from "./replica.ts";

export interface ReplicaLogOptions {
  readonly codecs: Codecs;
  readonly runtime: Runtime;
  readonly recorder: Recorder;
  /** The log is compacted when it is larger than this and than twice what is live; bytes, default 64 MiB. */
  readonly compactAboveBytes?: number;
}

/** What a new local commit says of itself. */
export interface NewCommit {
  readonly pageCount: PageCount;
  readonly lowestPageCount: PageCount;
  readonly byteLength: number;
  readonly time: TimeMs;
  readonly zeroed: PageSet;
}

interface BatchPlace {
  readonly ref: RecordRef;
  readonly dataOffset: number;
}

export class ReplicaLog {
  readonly #options: ReplicaLogOptions;
  readonly #replicas = new Map<number, Replica>();
  /** Spilled batches of transactions that have not committed. */
  readonly #spills = new Map<string, StoredBatch[]>();
  /** Spilled batches of transactions that are open now. */
  readonly #uncommitted = new Set<StoredBatch>();
  /** Batches that open snapshots still read, though their commit was pushed or dropped; with how many do. */
  readonly #held = new Map<StoredBatch, number>();
  #log!: RecordLog;
  #nextTransaction = 1;

  private constructor(options: ReplicaLogOptions) {
    this.#options = options;
  }

  static async open(files: BlockFileSystem, options: ReplicaLogOptions): Promise<ReplicaLog> {
    const replicas = new ReplicaLog(options);
    replicas.#log = await RecordLog.open(files, {
      xxh64: options.codecs.hash,
      runtime: options.runtime,
      recorder: options.recorder,
      visit: (type, payload, ref) => replicas.#replay(type, payload, ref),
    });
    replicas.#spills.clear();
    replicas.#maybeCompact();
    return replicas;
  }

  all(): Iterable<Replica> {
    return this.#replicas.values();
  }

  find(name: string): Replica | undefined {
    for (const replica of this.#replicas.values()) {
      if (replica.manifest.volume === name || replica.tags.has(name)) return replica;
    }
    return undefined;
  }

  addVolume(manifest: Uint8Array): Replica {
    let handle: number;
    do {
      const random = this.#options.runtime.randomBytes(new Uint8Array(4));
      handle = new DataView(random.buffer, random.byteOffset).getUint32(0);
    } while (handle === 0 || this.#replicas.has(handle));
    this.#append(RecordType.volume, [encodeVolumeRecord({ handle, manifest })]);
    this.#log.flush();
    return this.#learnVolume(handle, manifest);
  }

  /** From now on `tag` names this volume and no other. */
  addTag(replica: Replica, tag: string): void {
    if (replica.tags.has(tag)) return;
    this.#append(RecordType.tag, [encodeTagRecord({ handle: replica.handle, tag })]);
    this.#log.flush();
    this.#learnTag(replica, tag);
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
    this.#move(replica, advance(replica.state.base, steps), last.stored);
    this.#maybeCompact();
  }

  newTransaction(): number {
    return this.#nextTransaction++;
  }

  /** Writes part of a transaction, without a flush: it is forgotten unless a commit names it. */
  spill(replica: Replica, transaction: number, pages: PageSet, bytes: readonly Uint8Array[]): StoredBatch {
    const sums = this.#sums(bytes);
    const head = encodeSpillRecord({ handle: replica.handle, transaction }, pages, sums);
    const ref = this.#append(RecordType.spill, [head, ...bytes]);
    const batch = { pages, sums, dataOffset: head.length, ref };
    this.#uncommitted.add(batch);
    return batch;
  }

  /** The transaction of these spills has ended, committed or not. */
  endSpills(batches: readonly StoredBatch[]): void {
    for (const batch of batches) this.#uncommitted.delete(batch);
  }

  /** Makes a local commit: durable now, or with the next `flush`. Nothing of it is seen when writing it down fails. */
  commit(
    replica: Replica,
    commit: NewCommit,
    pages: PageSet,
    bytes: readonly Uint8Array[],
    spills: { readonly transaction: number; readonly batches: readonly StoredBatch[] },
    durability: "full" | "relaxed",
  ): LocalCommit {
    const { state } = replica;
    const sums = this.#sums(bytes);
    const record = {
      ...commit,
      handle: replica.handle,
      sequence: state.nextSequence,
      transaction: spills.batches.length === 0 ? 0 : spills.transaction,
    };
    const head = encodeCommitRecord(record, pages, sums);
    const ref = this.#append(RecordType.commit, [head, ...bytes]);
    if (durability === "full") this.#log.flush();
    return this.#learnCommit(replica, record, [
      ...spills.batches,
      { pages, sums, dataOffset: head.length, ref },
    ]);
  }

  flush(): void {
    this.#log.flush();
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
    this.#learnOutcome(replica, result);
    this.#maybeCompact();
  }

  /** Drops local commits up to `throughSequence`. */
  reset(replica: Replica, throughSequence: number): void {
    assert(replica.state.intent === undefined, "resetting under an unfinished push");
    this.#append(RecordType.reset, [encodeResetRecord({ handle: replica.handle, throughSequence })]);
    this.#log.flush();
    this.#dropCommits(replica, throughSequence);
    this.#maybeCompact();
  }

  forget(replica: Replica): void {
    this.#append(RecordType.forget, [encodeForgetRecord(replica.handle)]);
    this.#log.flush();
    this.#replicas.delete(replica.handle);
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

  /** Reads one page of a batch that holds it, verified. */
  readBatch(replica: Replica, batch: StoredBatch, page: number, into: Uint8Array): void {
    const rank = batch.pages.rankOf(page);
    this.#log.read(batch.ref, batch.dataOffset + rank * replica.manifest.pageSize, into);
    if (this.#options.codecs.hash.xxh64(into) !== batch.sums[rank]) throw badLocalPage(replica, page);
  }

  /** Keeps the bytes of some commits readable until the result is called, whatever happens to the commits. */
  hold(commits: readonly LocalCommit[]): () => void {
    const batches = commits.flatMap((commit) => commit.batches);
    for (const batch of batches) this.#held.set(batch, (this.#held.get(batch) ?? 0) + 1);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      for (const batch of batches) {
        const holders = this.#held.get(batch)! - 1;
        if (holders === 0) this.#held.delete(batch);
        else this.#held.set(batch, holders);
      }
    };
  }

  async close(): Promise<void> {
    await this.#log.close();
  }

  #append(type: number, parts: readonly Uint8Array[]): RecordRef {
    return this.#log.append(type, parts);
  }

  #sums(pages: readonly Uint8Array[]): BigUint64Array {
    const sums = new BigUint64Array(pages.length);
    pages.forEach((page, i) => {
      sums[i] = this.#options.codecs.hash.xxh64(page);
    });
    return sums;
  }

  #replay(type: number, payload: Uint8Array, ref: RecordRef): void {
    switch (type) {
      case RecordType.volume: {
        const { handle, manifest } = decodeVolumeRecord(payload);
        this.#learnVolume(handle, manifest);
        return;
      }
      case RecordType.tag: {
        const { handle, tag } = decodeTagRecord(payload);
        this.#learnTag(this.#replica(handle), tag);
        return;
      }
      case RecordType.sync:
        this.#replaySync(payload);
        return;
      case RecordType.spill: {
        const { handle, transaction, batch } = decodeSpillRecord(payload);
        this.#nextTransaction = Math.max(this.#nextTransaction, transaction + 1);
        const key = `${handle}/${transaction}`;
        this.#spills.set(key, [...(this.#spills.get(key) ?? []), stored(batch, ref)]);
        return;
      }
      case RecordType.commit: {
        const record = decodeCommitRecord(payload);
        const spilled =
          record.transaction === 0 ? [] : (this.#spills.get(`${record.handle}/${record.transaction}`) ?? []);
        this.#learnCommit(this.#replica(record.handle), record, [...spilled, stored(record.batch, ref)]);
        return;
      }
      case RecordType.intent: {
        const intent = decodeIntentRecord(payload);
        const replica = this.#replica(intent.handle);
        replica.state = { ...replica.state, intent };
        return;
      }
      case RecordType.outcome: {
        const { handle, result } = decodeOutcomeRecord(payload);
        this.#learnOutcome(this.#replica(handle), result);
        return;
      }
      case RecordType.reset: {
        const { handle, throughSequence } = decodeResetRecord(payload);
        this.#dropCommits(this.#replica(handle), throughSequence);
        return;
      }
      case RecordType.forget:
        this.#replicas.delete(decodeForgetRecord(payload));
        return;
      default:
        throw new PagefoldError(
          "unsupported_version",
          `the local store has a record of type ${type}, which this version does not know; open it with the version that wrote it`,
        );
    }
  }

  #replaySync(payload: Uint8Array): void {
    const record = decodeSyncRecord(payload);
    const replica = this.#replica(record.handle);
    const { hash } = this.#options.codecs;
    const commit = decodeCommit(record.header, hash);
    const rollups = record.rollups.map(({ from, to, bytes }) => decodeRollup(bytes, { from, to }));
    for (const rollup of rollups) {
      for (const writer of rollup.writers) replica.directory.learnHash(writer.lsn, writer.hash);
    }
    replica.directory.learnHash(commit.header.lsn, commit.hash);
    replica.directory.learn(commit);
    const from = record.whole
      ? emptyState(replica.manifestHash, replica.manifest.createdAt)
      : replica.state.base;
    const base = advance(from, [
      { commit, stored: record.header, from: from.lsn, rollups: rollups.reverse() },
    ]);
    this.#move(replica, base, record.header);
  }

  #replica(handle: number): Replica {
    const replica = this.#replicas.get(handle);
    if (replica === undefined) {
      throw new PagefoldError(
        "corrupt",
        `the local store has a record of an unknown volume (handle ${handle}); clone again into an empty directory`,
      );
    }
    return replica;
  }

  #learnVolume(handle: number, manifestBytes: Uint8Array): Replica {
    const manifest = decodeManifest(manifestBytes);
    const manifestHash = this.#options.codecs.hash.blake3(manifestBytes);
    const base = emptyState(manifestHash, manifest.createdAt);
    const state: ReplicaState = {
      base,
      baseHeader: undefined,
      commits: [],
      table: base.table,
      intent: undefined,
      nextSequence: 1,
      epoch: 0,
    };
    const directory = new CommitDirectory(manifest);
    const replica: Replica = {
      handle,
      manifest,
      manifestHash,
      manifestBytes,
      directory,
      tags: new Set(),
      state,
    };
    this.#replicas.set(handle, replica);
    return replica;
  }

  #learnTag(replica: Replica, tag: string): void {
    for (const other of this.#replicas.values()) other.tags.delete(tag);
    replica.tags.add(tag);
  }

  #move(replica: Replica, base: ReplicaState["base"], header: Uint8Array): void {
    const { state } = replica;
    const table = overlay(base.table, state.commits);
    replica.state = { ...state, base, baseHeader: header, table, epoch: state.epoch + 1 };
  }

  #learnCommit(
    replica: Replica,
    record: Omit<CommitRecord, "batch">,
    batches: readonly StoredBatch[],
  ): LocalCommit {
    const { state } = replica;
    let changed = PageSet.empty;
    for (const batch of batches) changed = changed.union(batch.pages);
    const { sequence, pageCount, lowestPageCount, byteLength, time, zeroed } = record;
    changed = changed.subtract(zeroed).clampTo(pageCount);
    const commit = { sequence, pageCount, lowestPageCount, byteLength, time, zeroed, batches, changed };
    replica.state = {
      ...state,
      commits: [...state.commits, commit],
      table: overlay(state.table, [commit]),
      nextSequence: sequence + 1,
      epoch: state.epoch + 1,
    };
    return commit;
  }

  #learnOutcome(replica: Replica, result: OutcomeRecord["result"]): void {
    const { intent } = replica.state;
    if (intent === undefined) return;
    replica.state = { ...replica.state, intent: undefined };
    if (result !== "won") return;
    const { state } = replica;
    const { hash } = this.#options.codecs;
    const commit = decodeCommit(intent.object, hash, {
      volume: replica.manifest.volume,
      lsn: intent.lsn,
      hash: intent.hash,
    });
    replica.directory.learnHash(intent.lsn, intent.hash);
    replica.directory.learnStep(ownStep(intent.object, commit));
    const editor = state.base.table.edit().truncate(commit.header.lowestPageCount);
    editor.assign(commit.header.changed, intent.lsn).assign(commit.header.zeroed, intent.lsn);
    const base = stateAt(commit.header, commit.hash, editor.truncate(commit.header.pageCount).finish());
    const commits = state.commits.filter(({ sequence }) => sequence > intent.throughSequence);
    // Pushed local commits were seen already; a commit of none of them (an import) is news to whoever reads or writes here.
    const news = intent.throughSequence === 0;
    assert(!news || commits.length === 0, "moving under local commits onto a commit that does not hold them");
    replica.state = {
      ...state,
      epoch: state.epoch + (news ? 1 : 0),
      base,
      baseHeader: intent.object.slice(0, commit.headerLength),
      commits,
      table: overlay(base.table, commits),
    };
  }

  #dropCommits(replica: Replica, throughSequence: number): void {
    const { state } = replica;
    const commits = state.commits.filter(({ sequence }) => sequence > throughSequence);
    replica.state = { ...state, commits, table: overlay(state.base.table, commits), epoch: state.epoch + 1 };
  }

  #maybeCompact(): void {
    const limit = this.#options.compactAboveBytes ?? 64 * 2 ** 20;
    if (this.#log.size <= limit || this.#log.size <= 2 * this.#liveBytes()) return;
    let moved: ReadonlyMap<StoredBatch, BatchPlace> = new Map();
    try {
      this.#log.rewrite((append) => {
        moved = this.#writeLive(append);
      });
    } catch (error) {
      // What led here is durable already; where there is no room for a second log, the first goes on growing.
      if (!isPagefoldError(error, "quota")) throw error;
      this.#options.recorder.count("local.log.rewrite_failed");
      return;
    }
    for (const [batch, place] of moved) Object.assign(batch, place);
  }

  #liveBatches(): Set<StoredBatch> {
    const batches = new Set([...this.#held.keys(), ...this.#uncommitted]);
    for (const { state } of this.#replicas.values()) {
      for (const commit of state.commits) for (const batch of commit.batches) batches.add(batch);
    }
    return batches;
  }

  #liveBytes(): number {
    let bytes = 0;
    for (const batch of this.#liveBatches()) bytes += batch.ref.length;
    for (const { state } of this.#replicas.values()) bytes += 256 + (state.intent?.object.length ?? 0);
    return bytes;
  }

  /** Everything that must survive, in an order that replays to the same replicas. */
  #writeLive(
    append: (type: number, parts: readonly Uint8Array[]) => RecordRef,
  ): Map<StoredBatch, BatchPlace> {
    const moved = new Map<StoredBatch, BatchPlace>();
    for (const replica of this.#replicas.values()) {
      const { handle, state } = replica;
      append(RecordType.volume, [encodeVolumeRecord({ handle, manifest: replica.manifestBytes })]);
      for (const tag of replica.tags) append(RecordType.tag, [encodeTagRecord({ handle, tag })]);
      if (state.baseHeader !== undefined)
        append(RecordType.sync, [encodeSyncRecord(wholeSync(replica, state.baseHeader))]);
      for (const commit of state.commits) {
        // All but the last were spilled; the last is the commit record itself. Records are copied as they stand.
        for (const batch of commit.batches) {
          const type = batch === commit.batches.at(-1) ? RecordType.commit : RecordType.spill;
          moved.set(batch, { ref: append(type, [this.#payload(batch)]), dataOffset: batch.dataOffset });
        }
      }
      if (state.intent !== undefined) append(RecordType.intent, [encodeIntentRecord(state.intent)]);
    }
    // A transaction that is still open may yet commit these: they keep its number.
    for (const batch of this.#uncommitted) {
      moved.set(batch, {
        ref: append(RecordType.spill, [this.#payload(batch)]),
        dataOffset: batch.dataOffset,
      });
    }
    // Only open snapshots still read these: spills that no commit will ever name (transaction 0).
    for (const batch of this.#held.keys()) {
      if (moved.has(batch)) continue;
      const head = encodeSpillRecord({ handle: 0, transaction: 0 }, batch.pages, batch.sums);
      const ref = append(RecordType.spill, [head, this.#payload(batch).subarray(batch.dataOffset)]);
      moved.set(batch, { ref, dataOffset: head.length });
    }
    return moved;
  }

  #payload(batch: StoredBatch): Uint8Array {
    const payload = new Uint8Array(batch.ref.length);
    this.#log.read(batch.ref, 0, payload);
    return payload;
  }
}

/** A commit of our own as a step of the log, with the bands that ride along: later commits build theirs from it. */
function ownStep(object: Uint8Array, commit: DecodedCommit): ChainStep {
  const { header, hash, bandExtents, headerLength } = commit;
  const bands = bandExtents.map(({ offset, length }, i) =>
    decodeRollup(object.subarray(offset, offset + length), bandInterval(header.lsn, i + 1)),
  );
  return {
    commit,
    stored: object.slice(0, headerLength),
    from: (header.lsn - 2 ** bands.length) as Lsn,
    rollups: [rollupOfCommit(header, hash), ...bands],
  };
}

function stored(batch: PageBatch, ref: RecordRef): StoredBatch {
  return { ...batch, ref };
}

/** The whole page table of a replica as one rollup from LSN 0. */
function wholeSync(replica: Replica, header: Uint8Array) {
  const { base } = replica.state;
  const writers = [...base.table.byValue(base.pageCount)]
    .sort(([a], [b]) => b - a)
    .map(([lsn, pages]) => ({ lsn: lsn as Lsn, hash: hashOf(replica, lsn as Lsn), pages }));
  const rollup = { from: 0 as Lsn, to: base.lsn, lowestPageCount: base.pageCount, writers };
  return {
    handle: replica.handle,
    whole: true,
    header,
    rollups: [{ from: rollup.from, to: rollup.to, bytes: encodeRollup(rollup) }],
  };
}

function hashOf(replica: Replica, lsn: Lsn): Hash {
  const hash = replica.directory.hash(lsn);
  assert(hash !== undefined, `no hash for commit ${lsn}, which wrote pages of the replica`);
  return hash;
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
