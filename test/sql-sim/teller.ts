/**
 * One replica of the bank and the model beside it: which transfers are in its local commits, oldest first, and what became of those that left
 * them. Whatever a step did, `reconcile` compares the two.
 */
import { expect } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import type { SqlExecutor } from "../../vfs/executor.ts";
import type { Database } from "../../vfs/index.ts";
import {
  checkBank,
  pageHashes,
  randomTransfer,
  type Transfer,
  transferAgain,
  usedPageHashes,
} from "./bank.ts";
import type { Pushes } from "./pushes.ts";

export interface TellerParts {
  readonly name: string;
  readonly random: () => number;
  readonly pushes: Pushes;
  /** On the same local state each time. */
  readonly open: () => Promise<{ readonly database: Database; close(): Promise<void> }>;
  /** Nothing can be fetched in the middle of a statement: whatever moves the replica must hydrate it before SQL reads. */
  readonly resident: boolean;
}

/** What a step says it did to the oldest local commits. */
export type Left =
  | { readonly how: "pushed"; readonly count: number; readonly lsn: number }
  | { readonly how: "dropped"; readonly count: number };

interface HeldView {
  readonly view: Awaited<ReturnType<Database["at"]>>;
  readonly hashes: readonly string[];
}

/** What became of transfers that were to be made again, in one transaction that replaces the local commits before it. */
export interface Remade {
  /** The oldest local commits, which the reset has dropped. */
  readonly replaces: number;
  /** Local commits after them, made between the reset and this transaction. */
  readonly survivors: number;
  readonly found: readonly Transfer[];
  readonly made: readonly Transfer[];
  readonly refused: readonly Transfer[];
}

export interface FinishedFork {
  readonly tag: string;
  readonly ids: readonly string[];
}

export class Teller {
  readonly parts: TellerParts;
  database!: Database;
  /** Transfers of each local commit; none where the commit made none. */
  readonly local: Transfer[][] = [];
  readonly views: HeldView[] = [];
  readonly forks: FinishedFork[] = [];
  /** Number of the next fork's tag. */
  forkTags = 1;
  /** The last step was cut off: where pages must be hydrated, some may be missing. */
  dry = false;
  /** How often what happened, for the report. */
  readonly counts = new Map<string, number>();
  #close: () => Promise<void> = async () => {};
  #pushOpen = false;
  #transfers = 0;

  constructor(parts: TellerParts) {
    this.parts = parts;
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  newTransfer(): Transfer {
    const { name, random } = this.parts;
    return randomTransfer(random, `${name}-${++this.#transfers}`);
  }

  /** However long the network is down. */
  async open(): Promise<void> {
    for (;;) {
      try {
        const { database, close } = await this.parts.open();
        this.database = database;
        this.#close = close;
        await this.hydrateWhereNeeded();
        await database.exec("PRAGMA foreign_keys = ON");
        return;
      } catch (error) {
        if (!isPagefoldError(error, "unavailable")) throw error;
        await this.close();
      }
    }
  }

  async close(): Promise<void> {
    this.views.length = 0;
    await this.#close();
    this.#close = async () => {};
  }

  async hydrateWhereNeeded(): Promise<void> {
    if (this.parts.resident) await this.database.hydrate();
  }

  /** After every step: local commits that left without a word were pushed, which only a push that was open can explain. */
  async reconcile(left?: Left): Promise<Transfer[][]> {
    const { pushes, name } = this.parts;
    const { ahead, pendingPush } = await this.database.status();
    const settled = this.local.length - ahead - (left?.count ?? 0);
    expect(settled, `invariant 3: ${ahead} local commits of ${this.local.length}`).toBeGreaterThanOrEqual(0);
    if (settled > 0) {
      expect(this.#pushOpen, `invariant 3: ${settled} local commits are gone`).toBe(true);
      pushes.foundPushed(this.local.splice(0, settled).flat());
    }
    this.#pushOpen = pendingPush;
    const gone = left === undefined ? [] : this.local.splice(0, left.count);
    if (left?.how === "pushed" && left.count > 0) pushes.won(name, left.lsn, gone.flat());
    if (left?.how === "dropped") pushes.dropped(gone.flat());
    return gone;
  }

  /**
   * Makes transfers again that a reset has dropped, on the newest state, within a transaction: as applications do in `onDiverged`. Those that are
   * there already were pushed after all, or committed after the reset. `adopt` what it answers once the transaction has committed.
   */
  async makeAgain(transaction: SqlExecutor, given: readonly Transfer[]): Promise<Remade> {
    // What was committed since the reset is local still.
    const { ahead } = await this.database.status();
    const replaces = this.local.length - ahead;
    const alive = new Set(this.local.slice(replaces).flat());
    const [found, made, refused]: [Transfer[], Transfer[], Transfer[]] = [[], [], []];
    for (const each of given) {
      if (alive.has(each)) continue;
      const known = await transaction.queryOne("SELECT 1 FROM ledger WHERE id = ?", [each.id]);
      if (known !== undefined) found.push(each);
      else ((await transferAgain(transaction, each)) ? made : refused).push(each);
    }
    return { replaces, survivors: ahead, found, made, refused };
  }

  adopt({ replaces, survivors, found, made, refused }: Remade): void {
    const { pushes } = this.parts;
    if (found.length > 0) expect(this.#pushOpen, "invariant 3: pushed without a word").toBe(true);
    pushes.foundPushed(found);
    pushes.dropped(refused);
    pushes.revived(made);
    this.local.splice(0, replaces);
    if (made.length > 0) this.local.splice(survivors, 0, [...made]);
  }

  /** Until nothing is local any more; in good weather. */
  async insistOnPush(): Promise<void> {
    for (;;) {
      const { outcome, commits: count, lsn } = await this.database.push({ onDiverged: "reset" });
      if (outcome === "pushed") await this.reconcile({ how: "pushed", count, lsn });
      else await this.reconcile(outcome === "nothing" ? undefined : { how: "dropped", count });
      await this.hydrateWhereNeeded();
      if (outcome !== "reset" && this.local.length === 0) return;
    }
  }

  /** The bank is whole, and its last ledger rows are those of the local commits, in order. */
  async check(): Promise<void> {
    const ids = await checkBank(this.database, this.parts.name);
    const mine = this.local.flat().map(({ id }) => id);
    expect(mine.length === 0 ? [] : ids.slice(-mine.length), `${this.parts.name}: local commits`).toEqual(
      mine,
    );
  }

  /** Of the remote state that it stands on; the connection that writes shows the same, where nothing is local. */
  async newestHashes(): Promise<string[]> {
    const { lsn } = await this.database.status();
    const view = await this.database.at(lsn);
    try {
      expect(await usedPageHashes(this.database)).toEqual(await usedPageHashes(view));
      return await pageHashes(view);
    } finally {
      await view.close();
    }
  }

  async holdView(lsn: number): Promise<void> {
    const view = await this.database.at(lsn);
    try {
      this.views.push({ view, hashes: await pageHashes(view) });
    } catch (error) {
      await view.close();
      throw error;
    }
  }

  /** Invariant 1, of every view that is held. */
  async checkViews(): Promise<void> {
    for (const { view, hashes } of this.views)
      expect(await pageHashes(view), `invariant 1: LSN ${view.lsn}, held`).toEqual(hashes);
  }

  async closeView(): Promise<void> {
    await this.views.shift()?.view.close();
  }

  async reopen(): Promise<void> {
    await this.close();
    await this.open();
  }
}
