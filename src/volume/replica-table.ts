/**
 * The replicas of one local store as values, and how each record of its log changes them. The same functions serve replay and
 * live changes, so that a reopened store is what it was. No I/O.
 */
import { assert } from "../base/assert.ts";
import type { Lsn } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { type DecodedCommit, decodeCommit } from "../format/commit-codec.ts";
import type { Hasher } from "../format/hash.ts";
import { bandInterval } from "../format/jumps.ts";
import { PageSet } from "../format/page-set.ts";
import { decodeRollup, rollupOfCommit } from "../format/rollup-codec.ts";
import { type BaseRecord, decodeBaseRecord } from "../local/base-record.ts";
import {
  decodeForkRecord,
  decodePlanRecord,
  decodeSharesRecord,
  type ForkPlan,
  type ForkRecord,
} from "../local/fork-records.ts";
import type { RecordRef } from "../local/record-log.ts";
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
  decodeTogetherRecord,
  decodeVolumeRecord,
  type OutcomeRecord,
  type PageBatch,
  RecordType,
} from "../local/replica-records.ts";
import { newReplica } from "./new-replica.ts";
import { PageTable } from "./page-table.ts";
import { advance, type ChainStep, emptyState, type RemoteState, stateAt } from "./remote-state.ts";
import { type LocalCommit, overlay, type Replica, type StoredBatch } from "./replica.ts";

export class ReplicaTable {
  readonly #hash: Hasher;
  readonly #replicas = new Map<number, Replica>();
  /** While replaying: spilled batches of transactions whose commit has not come yet. */
  readonly #spills = new Map<string, StoredBatch[]>();
  /** While replaying: commits right before, which count only if their group is complete. */
  #parts: { readonly payload: Uint8Array; readonly ref: RecordRef }[] = [];
  /** Above every number that the log has seen. */
  nextTransaction = 1;
  #nextKey = 1;

  constructor(hash: Hasher) {
    this.#hash = hash;
  }

  all(): Iterable<Replica> {
    return this.#replicas.values();
  }

  /** By volume id or tag. */
  find(name: string): Replica | undefined {
    for (const replica of this.#replicas.values()) {
      if (replica.manifest.volume === name || replica.tags.has(name)) return replica;
    }
    return undefined;
  }

  has(handle: number): boolean {
    return this.#replicas.has(handle);
  }

  forget(handle: number): void {
    this.#replicas.delete(handle);
  }

  /** Replay is over: what was spilled and not committed is forgotten. */
  replayed(): void {
    this.#spills.clear();
  }

  /** Takes over one record of the log, in order. */
  replay(type: number, payload: Uint8Array, ref: RecordRef): void {
    if (type === RecordType.part) {
      // The payload is the log's, and only valid now.
      this.#parts.push({ payload: payload.slice(), ref });
      return;
    }
    const parts = this.#parts.splice(0);
    switch (type) {
      case RecordType.volume: {
        const { handle, manifest } = decodeVolumeRecord(payload);
        this.learnVolume(handle, manifest);
        return;
      }
      case RecordType.tag: {
        const { handle, tag } = decodeTagRecord(payload);
        this.learnTag(this.#replica(handle), tag);
        return;
      }
      case RecordType.sync:
        this.#replaySync(payload);
        return;
      case RecordType.base:
        this.learnBase(decodeBaseRecord(payload));
        return;
      case RecordType.spill: {
        const { handle, transaction, batch } = decodeSpillRecord(payload);
        this.nextTransaction = Math.max(this.nextTransaction, transaction + 1);
        const key = `${handle}/${transaction}`;
        const spilled = this.#spills.get(key);
        if (spilled === undefined) this.#spills.set(key, [stored(batch, ref)]);
        else spilled.push(stored(batch, ref));
        return;
      }
      case RecordType.commit:
        this.#replayCommit(payload, ref);
        return;
      case RecordType.together: {
        const count = decodeTogetherRecord(payload);
        if (parts.length < count) {
          throw new PagefoldError(
            "corrupt",
            `the local store has ${parts.length} of ${count} commits that were made together; clone again into an empty directory`,
          );
        }
        // Parts before them belong to a group whose writing failed.
        for (const part of parts.slice(parts.length - count)) this.#replayCommit(part.payload, part.ref);
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
        this.learnOutcome(this.#replica(handle), result);
        return;
      }
      case RecordType.reset: {
        const { handle, throughSequence } = decodeResetRecord(payload);
        this.dropCommits(this.#replica(handle), throughSequence);
        return;
      }
      case RecordType.plan: {
        const { handle, plan } = decodePlanRecord(payload);
        this.learnPlan(this.#replica(handle), plan);
        return;
      }
      case RecordType.fork:
        this.learnFork(decodeForkRecord(payload));
        return;
      case RecordType.shares: {
        const { handle, shared } = decodeSharesRecord(payload);
        this.#replica(handle).shared = shared;
        return;
      }
      case RecordType.forget:
        this.forget(decodeForgetRecord(payload));
        return;
      default:
        throw new PagefoldError(
          "unsupported_version",
          `the local store has a record of type ${type}, which this version does not know; open it with the version that wrote it`,
        );
    }
  }

  #replayCommit(payload: Uint8Array, ref: RecordRef): void {
    const record = decodeCommitRecord(payload);
    const spilled =
      record.transaction === 0 ? [] : (this.#spills.get(`${record.handle}/${record.transaction}`) ?? []);
    this.learnCommit(this.#replica(record.handle), record, [...spilled, stored(record.batch, ref)]);
  }

  #replaySync(payload: Uint8Array): void {
    const record = decodeSyncRecord(payload);
    const replica = this.#replica(record.handle);
    const hash = this.#hash;
    const commit = decodeCommit(record.header, hash);
    const rollups = record.rollups.map(({ from, to, bytes }) => decodeRollup(bytes, { from, to }));
    for (const rollup of rollups) replica.directory.learnWriters(rollup.writers);
    replica.directory.learnHash(commit.header.lsn, commit.hash);
    replica.directory.learn(commit);
    const from = record.whole
      ? emptyState(replica.originHash, replica.manifest.createdAt)
      : replica.state.base;
    const base = advance(from, [
      { commit, stored: record.header, from: from.lsn, rollups: rollups.reverse() },
    ]);
    this.move(replica, base, record.header);
  }

  /** A replica stands somewhere, whatever it stood on before. */
  learnBase({ handle, lsn, header, writers, checkpoints }: BaseRecord): void {
    const replica = this.#replica(handle);
    const { directory } = replica;
    const commit = decodeCommit(header, this.#hash, { lsn });
    directory.learnHash(lsn, commit.hash);
    directory.learnWriters(writers);
    directory.learn(commit);
    for (const named of checkpoints) directory.nameCheckpoint(named);
    const editor = PageTable.empty.edit();
    for (const writer of writers) editor.assign(writer.pages, writer.lsn);
    const table = editor.truncate(commit.header.pageCount).finish();
    this.move(replica, stateAt(commit.header, commit.hash, table), header);
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

  /** A volume that this store follows from now on, at LSN 0. */
  learnVolume(handle: number, manifestBytes: Uint8Array): Replica {
    const replica = newReplica(handle, manifestBytes, this.#hash);
    this.#replicas.set(handle, replica);
    return replica;
  }

  /** A fork was made: it is followed from now on, where it was not already, and takes the parent's local commits over that it is said to. */
  learnFork(record: ForkRecord): Replica {
    const parent = this.#replica(record.parent);
    let fork = this.#replicas.get(record.handle);
    if (fork === undefined) {
      fork = newReplica(record.handle, record.manifest, this.#hash, parent);
      this.#replicas.set(record.handle, fork);
    }
    parent.state = { ...parent.state, forkPlan: undefined };
    const commits = parent.state.commits.through(record.throughSequence);
    if (commits.length === 0) return fork;
    const { state } = fork;
    assert(state.commits.length === 0 && state.base.lsn === parent.state.base.lsn, "a fork on other ground");
    fork.state = {
      ...state,
      commits,
      table: commits === parent.state.commits ? parent.state.table : overlay(state.base.table, commits),
      nextSequence: parent.state.nextSequence,
      epoch: state.epoch + 1,
    };
    this.dropCommits(parent, record.throughSequence);
    return fork;
  }

  /** A fork was begun, or (undefined) given up. */
  learnPlan(replica: Replica, forkPlan: ForkPlan | undefined): void {
    replica.state = { ...replica.state, forkPlan };
  }

  /** From now on the tag names this volume and no other. */
  learnTag(replica: Replica, tag: string): void {
    for (const other of this.#replicas.values()) other.tags.delete(tag);
    replica.tags.add(tag);
  }

  /** The replica stands on another remote commit; its local commits are laid over it. */
  move(replica: Replica, base: RemoteState, header: Uint8Array): void {
    const { state } = replica;
    const table = overlay(base.table, state.commits);
    replica.state = { ...state, base, baseHeader: header, table, epoch: state.epoch + 1 };
  }

  /** A local commit, on top of those before it. */
  learnCommit(
    replica: Replica,
    record: Omit<CommitRecord, "batch">,
    batches: readonly StoredBatch[],
  ): LocalCommit {
    const { state } = replica;
    let changed = PageSet.empty;
    for (const batch of batches) changed = changed.union(batch.pages);
    const { sequence, pageCount, lowestPageCount, byteLength, time, zeroed } = record;
    changed = changed.subtract(zeroed).clampTo(pageCount);
    const key = this.#nextKey++;
    const commit = { sequence, key, pageCount, lowestPageCount, byteLength, time, zeroed, batches, changed };
    replica.state = {
      ...state,
      commits: state.commits.with(commit),
      table: overlay(state.table, [commit]),
      nextSequence: sequence + 1,
      epoch: state.epoch + 1,
    };
    return commit;
  }

  /** How the open push ended; when it won, the replica moves onto its own commit. */
  learnOutcome(replica: Replica, result: OutcomeRecord["result"]): void {
    const { intent } = replica.state;
    if (intent === undefined) return;
    replica.state = { ...replica.state, intent: undefined };
    if (result !== "won") return;
    const { state } = replica;
    const hash = this.#hash;
    const commit = decodeCommit(intent.object, hash, {
      volume: replica.manifest.volume,
      lsn: intent.lsn,
      hash: intent.hash,
    });
    replica.directory.learnHash(intent.lsn, intent.hash);
    const step = ownStep(intent.object, commit);
    replica.directory.learnStep(step);
    replica.directory.learnWriters(step.rollups[0]!.writers);
    const base = advance(state.base, [{ ...step, from: state.base.lsn, rollups: step.rollups.slice(0, 1) }]);
    const commits = state.commits.after(intent.throughSequence);
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

  /** Local commits up to a sequence number are gone. */
  dropCommits(replica: Replica, throughSequence: number): void {
    const { state } = replica;
    const commits = state.commits.after(throughSequence);
    replica.state = { ...state, commits, table: overlay(state.base.table, commits), epoch: state.epoch + 1 };
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
