/** Which table each page belongs to, as SQLite's own `dbstat` says, for a fraction of the pages. */
import { describe, expect, it } from "vitest";
import { openState } from "../../server/inspect/one-state.ts";
import { tableMap } from "../../server/inspect/table-map.ts";
import { Database } from "../../vfs/index.ts";
import { openStore, WatchedStore } from "../store/support.ts";
import { closeLater } from "../vfs/closers.ts";
import { importInto, memoryRemote } from "../vfs/remotes.ts";
import { sampleDatabase } from "../vfs/sample.ts";
import { buildDatabase } from "../vfs/sqlite.ts";

const signal = new AbortController().signal;

async function opened(bytes: Uint8Array) {
  const remote = memoryRemote();
  await importInto(remote, bytes);
  const state = await openState(remote.store, "db", 1, signal);
  closeLater(state.close);
  const store = await openStore(remote.store);
  await (await store.volume("db")).hydrate();
  const database = await Database.open(store, "db", { bridge: "resident-only" });
  closeLater(async () => {
    await database.close();
    await store.close();
  });
  return { remote, state, database };
}

const LARGE = `PRAGMA page_size = 4096; CREATE TABLE a(x); CREATE TABLE b(x PRIMARY KEY) WITHOUT ROWID; CREATE TABLE empty(x);
  INSERT INTO a VALUES (zeroblob(90000)), (zeroblob(10)), (randomblob(5000));
  WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 60) INSERT INTO b SELECT randomblob(9000) FROM c;
  CREATE TABLE gone(x); INSERT INTO gone VALUES (zeroblob(30000)); DROP TABLE gone`;

describe("tableMap", () => {
  it("names for every page the table or index it belongs to, as dbstat does", async () => {
    for (const bytes of [
      await sampleDatabase(2000),
      await buildDatabase(LARGE),
      await buildDatabase(`PRAGMA page_size = 4096; PRAGMA auto_vacuum = FULL; ${LARGE}`),
    ]) {
      const { state, database } = await opened(bytes);
      const pageCount = bytes.length / 4096;
      const seen: number[] = [];
      const map = await tableMap(state, {
        pagesPerCell: 1,
        onProgress: (done, total) => {
          expect(total).toBe(pageCount);
          seen.push(done);
        },
      });
      const owners = await database.query("SELECT name, pageno FROM dbstat");
      expect(map.otherPages).toBe(pageCount - owners.length);
      for (const { name, pageno } of owners)
        expect(map.tables[map.cells[Number(pageno) - 1] ?? -1]?.name, `page ${pageno}`).toBe(name);
      for (const { name, pages } of map.tables)
        expect(pages, name).toBe(owners.filter((owner) => owner.name === name).length);
      expect(map.cells.filter((cell) => cell === -1)).toHaveLength(map.otherPages);
      expect(map.tables.map(({ pages }) => pages)).toEqual(
        map.tables.map(({ pages }) => pages).sort((a, b) => b - a),
      );
      expect(seen).toEqual([...seen].sort((a, b) => a - b));

      // By blocks: the one with the most pages in each.
      const coarse = await tableMap(state, { pagesPerCell: 64 });
      expect(coarse.tables).toEqual(map.tables);
      coarse.cells.forEach((table, cell) => {
        const pages = map.cells.slice(cell * 64, cell * 64 + 64);
        const most = Math.max(...map.tables.map((_, i) => pages.filter((page) => page === i).length));
        expect(pages.filter((page) => page === table)).toHaveLength(most);
      });
    }
  });

  it("reads the inner pages where no row is too large for its page", async () => {
    const remote = memoryRemote();
    const bytes = await sampleDatabase();
    await importInto(remote, bytes);
    const watched = new WatchedStore(remote.store);
    const store = await openStore(watched.store, {
      runtime: watched.runtime,
      settings: { readAhead: undefined },
    });
    const volume = await store.volume("db");
    await tableMap(await volume.at(1), { pagesPerCell: 1 });
    expect(volume.status().residentPages).toBeLessThan(bytes.length / 4096 / 2);
    await store.close();
  });

  it("ends when its signal fires, and refuses what is no database", async () => {
    const { state } = await opened(await sampleDatabase());
    const controller = new AbortController();
    const mapped = tableMap(state, {
      ...{ pagesPerCell: 1, signal: controller.signal },
      onProgress: () => controller.abort(),
    });
    await expect(mapped).rejects.toMatchObject({ code: "aborted" });
    const text = { ...state, read: async (_: number, length: number) => new Uint8Array(length).fill(65) };
    await expect(tableMap(text, { pagesPerCell: 1 })).rejects.toMatchObject({ code: "invalid" });
  });
});
