/**
 * What all replicas were told of their pushes, and the check of the remote log against it: everything acknowledged is there, once, at its LSN;
 * nothing is there that was dropped; the bank is whole at every LSN.
 */
import { expect } from "vitest";
import type { Database } from "../../vfs/index.ts";
import { checkBank, type Transfer } from "./bank.ts";

const idsOf = (transfers: readonly Transfer[]): string[] => transfers.map(({ id }) => id);

export class Pushes {
  readonly #acknowledged = new Map<number, { readonly replica: string; readonly ids: string[] }>();
  /** Batches that were found to be in the log, whose LSN nobody was told. */
  readonly #settled: string[][] = [];
  readonly #dropped = new Set<string>();

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  get settled(): number {
    return this.#settled.length;
  }

  won(replica: string, lsn: number, transfers: readonly Transfer[]): void {
    const other = this.#acknowledged.get(lsn)?.replica;
    expect(other, `invariant 5: LSN ${lsn} was acknowledged to ${replica} and to another`).toBeUndefined();
    this.#acknowledged.set(lsn, { replica, ids: idsOf(transfers) });
  }

  foundPushed(transfers: readonly Transfer[]): void {
    if (transfers.length > 0) this.#settled.push(idsOf(transfers));
  }

  /** Reset, moved to a fork, or refused when they were made again. */
  dropped(transfers: readonly Transfer[]): void {
    for (const { id } of transfers) this.#dropped.add(id);
  }

  /** They are in a local commit again. */
  revived(transfers: readonly Transfer[]): void {
    for (const { id } of transfers) this.#dropped.delete(id);
  }

  /** @param clone of the volume as a stranger sees it */
  async check(clone: Database): Promise<void> {
    const { lsn: head } = await clone.status();
    const log = await clone.log({ limit: Number.MAX_SAFE_INTEGER });
    expect(
      log.map(({ lsn }) => lsn),
      "invariant 4: LSNs without gaps",
    ).toEqual(Array.from({ length: head }, (_, i) => head - i));
    expect(new Set(log.map(({ hash }) => hash)).size).toBe(head);
    expect(Math.max(0, ...this.#acknowledged.keys())).toBeLessThanOrEqual(head);
    const { all, unheard } = await this.#walk(clone, head);
    for (const batch of this.#settled) {
      const place = unheard.find((ids) => ids.includes(batch[0] ?? ""));
      expect(place, `invariant 3: ${batch} left the local commits`).toEqual(batch);
    }
    for (const id of this.#dropped) expect(all.has(id), `${id} was dropped`).toBe(false);
  }

  /** Every LSN: what it adds to the ledger; `unheard` are additions of LSNs that nobody was told. */
  async #walk(clone: Database, head: number): Promise<{ all: Set<string>; unheard: string[][] }> {
    let before: string[] = [];
    const unheard: string[][] = [];
    for (let lsn = 1; lsn <= head; lsn++) {
      await using view = await clone.at(lsn);
      const ids = await checkBank(view, `LSN ${lsn}`);
      expect(ids.slice(0, before.length), `LSN ${lsn} keeps what was there`).toEqual(before);
      const added = ids.slice(before.length);
      const told = this.#acknowledged.get(lsn);
      if (told === undefined) unheard.push(added);
      else expect(added, `invariant 3: LSN ${lsn}, acknowledged to ${told.replica}`).toEqual(told.ids);
      before = ids;
    }
    return { all: new Set(before), unheard };
  }
}
