/**
 * The volumes that one transaction of SQLite has written, and the moment at which all of them are committed. SQLite finishes its files one by
 * one (SYNC for each, then COMMIT_PHASETWO for each), or, with a super-journal, by deleting that; whichever comes first commits every
 * file that was synced, together, in one local log record. Only one connection of a wasm instance is ever within a commit.
 */
import { type CommitResult, commitTogether, type Transaction } from "../../src/volume/transaction.ts";

/** A file with staged changes. */
export interface StagedFile {
  /** Its transaction, ready to be committed; undefined where there is nothing to commit. */
  prepare(): Transaction | undefined;
  /** What `prepare` gave is a local commit now. */
  committed(result: CommitResult): void;
  /** Committing failed and nothing of it is left: the transaction has ended. */
  dropped(): void;
}

export class CommitGroup {
  readonly #refusal: () => unknown;
  readonly #synced = new Set<StagedFile>();

  /** @param refusal asked before each commit: why nothing may be committed now; undefined where nothing speaks against it */
  constructor(refusal: () => unknown = () => undefined) {
    this.#refusal = refusal;
  }

  /** SQLite has handed over all pages of a file's transaction (or played its journal back). */
  add(file: StagedFile): void {
    this.#synced.add(file);
  }

  /** The file's transaction has ended without a commit. */
  remove(file: StagedFile): void {
    this.#synced.delete(file);
  }

  /** Commits everything that was synced. @throws what committing throws: then nothing is committed */
  commit(): void {
    if (this.#synced.size === 0) return;
    const files = [...this.#synced];
    this.#synced.clear();
    const ready = files.flatMap((file) => {
      const transaction = file.prepare();
      return transaction === undefined ? [] : [{ file, transaction }];
    });
    let results: CommitResult[];
    try {
      const refusal = this.#refusal();
      if (refusal !== undefined) throw refusal;
      results = commitTogether(ready.map(({ transaction }) => transaction));
    } catch (error) {
      for (const { file, transaction } of ready) {
        transaction.rollback();
        file.dropped();
      }
      throw error;
    }
    for (const [i, { file }] of ready.entries()) file.committed(results[i] as CommitResult);
  }
}
