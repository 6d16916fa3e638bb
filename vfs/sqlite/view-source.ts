/**
 * Where a database file gets its snapshots. A connection takes one with its SHARED lock and holds it until the lock is given back, so a
 * transaction sees one state whatever is pulled meanwhile; the next one sees the newest.
 */
import type { PageView } from "../../src/volume/fetch-plan.ts";
import type { CommitResult, Transaction } from "../../src/volume/transaction.ts";

export interface ViewSource {
  /** What `acquire` would answer now. */
  readonly current: PageView;
  /** The newest view; it stays readable until it is released as often as it was acquired. Must not throw. */
  acquire(): PageView;
  release(view: PageView): void;
  /** Whether two of its views show the same bytes (a push moves pages and changes none). Absent: only a view itself does. */
  same?(a: PageView, b: PageView): boolean;
  /**
   * Changes whenever the content became other than by a commit of SQLite on top of what was there: from then on its schema cookie proves
   * nothing. Absent: any other view may be of another history.
   */
  readonly lineage?: number;
  /** Absent: the database is read-only. */
  readonly writer?: ViewWriter | undefined;
}

/** A local commit is durable when it returns, or soon after. */
export type Durability = "full" | "relaxed";

/** One writer at a time. */
export interface ViewWriter {
  /**
   * The writer's turn at once; undefined where somebody else has it. @throws `conflict` when `view` is not the newest state
   * @param durability of the commit; absent: the store's setting
   */
  tryBegin(view: PageView, durability: Durability | undefined): Transaction | undefined;
  /** The same, waiting for it among the others who wait; undefined where that took longer than `timeoutMs`. */
  begin(
    view: PageView,
    durability: Durability | undefined,
    timeoutMs: number,
  ): Promise<Transaction | undefined>;
  /** What `tryBegin` gave was committed: the state that the volume is in now descends from what was there by SQLite's own commit. */
  committed(result: CommitResult): void;
}

/** One view for ever, owned by the caller. */
export function fixedView(view: PageView): ViewSource {
  return { current: view, acquire: () => view, release: () => {} };
}

/** A view that holds something (local commits, a lease). */
export interface ClosableView extends PageView {
  close(): void;
}

/** A view that can be replaced by a newer one; each is closed when it is neither the newest nor held by anybody. */
export class CurrentView<V extends ClosableView = ClosableView> implements ViewSource {
  #current: V;
  /** How often the newest view is held; every transaction passes here, so it is a plain number. */
  #holders = 0;
  /** The same for views that were replaced while held. */
  readonly #replaced = new Map<PageView, number>();

  /** Takes the view over. */
  constructor(view: V) {
    this.#current = view;
  }

  get current(): V {
    return this.#current;
  }

  /** From now on `acquire` answers this one. Takes it over. */
  replace(view: V): void {
    const before = this.#current;
    if (before === view) return;
    if (this.#holders === 0) before.close();
    else this.#replaced.set(before, this.#holders);
    this.#holders = 0;
    this.#current = view;
  }

  acquire(): PageView {
    this.#holders++;
    return this.#current;
  }

  release(view: PageView): void {
    if (view === this.#current) {
      this.#holders--;
      return;
    }
    const held = (this.#replaced.get(view) ?? 0) - 1;
    if (held > 0) {
      this.#replaced.set(view, held);
      return;
    }
    this.#replaced.delete(view);
    (view as V).close();
  }

  close(): void {
    this.#current.close();
  }
}
