/** A store that fails or lies in the middle of statements: each fails with the cause or goes through, whole, and the database goes on. */
import { expect, it } from "vitest";
import type { Database } from "../../vfs/index.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { openOver, overBridges } from "./bridges.ts";
import { elsewhere, importInto, type TestRemote } from "./remotes.ts";
import { buildDatabase } from "./sqlite.ts";

const ROWS = 3000;
const WIDE = `PRAGMA page_size = 4096; CREATE TABLE small(a); INSERT INTO small VALUES ('first page'); CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT);
  WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i <= ${ROWS}) INSERT INTO t SELECT i, printf('%0200d', i) FROM c WHERE i <= ${ROWS};
  CREATE INDEX ts ON t(s)`;

/** What the table should hold, row by row. */
class Model {
  rows = new Map<number, string>(
    Array.from({ length: ROWS }, (_, i) => [i + 1, String(i + 1).padStart(200, "0")]),
  );

  update(from: number, to: number, s: string): Map<number, string> {
    const rows = new Map(this.rows);
    for (let i = from; i <= to; i++) if (rows.has(i)) rows.set(i, s);
    return rows;
  }

  remove(from: number, to: number): Map<number, string> {
    const rows = new Map(this.rows);
    for (let i = from; i <= to; i++) rows.delete(i);
    return rows;
  }
}

async function expectRows(database: Database, model: Model, what: string): Promise<void> {
  const found = await database.execute("SELECT i, s FROM t ORDER BY i");
  expect(found.rows.length, what).toBe(model.rows.size);
  const wrong = found.rows.find(([i, s]) => model.rows.get(i as number) !== s);
  expect(wrong, what).toBeUndefined();
}

overBridges("a store that fails in the middle of statements", (bridge) => {
  it("at random: every statement happens whole or not at all, and says which", async (context) => {
    if (bridge.kind === "resident-only") context.skip("every page is here from the start");
    const random = seededRandom(testSeed);
    const below = (n: number): number => Math.floor(random() * n);
    const remote = await bridge.remote();
    await importInto(remote, await buildDatabase(WIDE));
    // A cache so small that pages are fetched again and again.
    const database = await openOver(bridge, remote, {
      settings: { memoryBytes: 40 * 4096, readAhead: undefined },
    });
    await database.exec("PRAGMA cache_size = 10");
    const model = new Model();
    let failures = 0;
    for (let step = 0; step < 120; step++) {
      const from = below(ROWS);
      const to = from + below(60);
      const s = `step ${step}`;
      const choices: readonly (readonly [string, unknown[], Map<number, string>])[] = [
        ["UPDATE t SET s = ? WHERE i BETWEEN ? AND ?", [s, from, to], model.update(from, to, s)],
        ["DELETE FROM t WHERE i BETWEEN ? AND ?", [from, to], model.remove(from, to)],
        ["SELECT count(*), sum(length(s)) FROM t WHERE i BETWEEN ? AND ?", [from, from + 1000], model.rows],
        [
          "BEGIN; UPDATE t SET s = ? WHERE i BETWEEN ? AND ?; SELECT count(*) FROM t WHERE s LIKE 'step%'; COMMIT",
          [s, from, to],
          model.update(from, to, s),
        ],
      ];
      const [sql, parameters, after] = choices[below(choices.length)]!;
      const what = `seed ${testSeed}, step ${step}: ${sql} ${String(parameters)}`;
      remote.down = random() < 0.4;
      const error = await database.exec(sql, parameters as never).then(
        () => undefined,
        (e: unknown) => e,
      );
      remote.down = false;
      if (error === undefined) {
        model.rows = after;
        continue;
      }
      failures++;
      expect(error, what).toMatchObject({ name: "PagefoldError", code: "unavailable" });
      // What failed within BEGIN … COMMIT was rolled back by SQLite, or is now.
      if ((await database.status()).inTransaction) await database.exec("ROLLBACK");
      if (step % 10 === 0) await expectRows(database, model, what);
    }
    expect(failures, `seed ${testSeed}`).toBeGreaterThan(15);
    await expectRows(database, model, "at the end");
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    await database.push();
    const other = await openOver(bridge, remote);
    await expectRows(other, model, "elsewhere");
  });

  it("while a transaction is begun, and while it is committed: nothing is half done", async (context) => {
    if (bridge.kind === "resident-only") context.skip("every page is here from the start");
    const remote = await bridge.remote();
    await importInto(remote, await buildDatabase(WIDE));
    const database = await openOver(bridge, remote, { settings: { readAhead: undefined } });
    remote.down = true;
    await expect(database.query("SELECT count(*) FROM t")).rejects.toMatchObject({ code: "unavailable" });
    await expect(database.transaction((tx) => tx.query("SELECT count(*) FROM t"))).rejects.toMatchObject({
      code: "unavailable",
    });
    await expect(database.at(1).then((view) => view.query("SELECT count(*) FROM t"))).rejects.toMatchObject({
      code: "unavailable",
    });
    await expect(database.iterate("SELECT s FROM t WHERE i > 2000").next()).rejects.toMatchObject({
      code: "unavailable",
    });
    await expect(database.live("SELECT count(*) FROM t").next()).rejects.toMatchObject({
      code: "unavailable",
    });
    await expect(database.exec("DELETE FROM t; VACUUM")).rejects.toMatchObject({ code: "unavailable" });
    expect(await database.status()).toMatchObject({ ahead: 0, inTransaction: false });
    // Committing needs no store.
    remote.down = false;
    await database.transaction(async (tx) => {
      await tx.exec("UPDATE t SET s = 'x' WHERE i = 5");
      remote.down = true;
    });
    remote.down = false;
    expect(await database.query("SELECT s FROM t WHERE i = 5")).toEqual([{ s: "x" }]);
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });
});

/** Inverts a byte of the volume's only segment, at a part of its length; the answer puts it back. */
async function damage(remote: TestRemote, part: number): Promise<() => Promise<void>> {
  const [segment] = await elsewhere(remote, ({ id }) => remote.store.list(`volumes/${id}/segments/`));
  const bytes = await remote.store.get(segment!.key);
  const write = async (content: Uint8Array): Promise<void> => {
    await remote.store.delete([segment!.key]);
    await remote.store.put(segment!.key, content);
  };
  const damaged = bytes!.slice();
  const at = Math.floor(damaged.length * part);
  damaged[at] = (damaged[at] ?? 0) ^ 0xff;
  await write(damaged);
  return () => write(bytes!);
}

overBridges("invariant 7: a page that is damaged", (bridge) => {
  it("is corrupt for those who need it, and nobody else; whole again it is read", async (context) => {
    if (bridge.kind === "resident-only") context.skip("every page is here from the start");
    const remote = await bridge.remote();
    await importInto(remote, await buildDatabase(WIDE.replace("printf('%0200d', i)", "randomblob(200)")));
    const repair = await damage(remote, 0.4);
    const database = await openOver(bridge, remote);
    const corrupt = { code: "corrupt", message: expect.stringMatching(/segment|frame/) };
    expect(await database.query("SELECT a FROM small")).toEqual([{ a: "first page" }]);
    await expect(database.query("SELECT sum(length(s)) FROM t NOT INDEXED")).rejects.toMatchObject(corrupt);
    await expect(database.exec("UPDATE t SET s = 'x'")).rejects.toMatchObject({ code: "corrupt" });
    await expect(database.hydrate()).rejects.toMatchObject({ code: "corrupt" });
    await expect(database.verify()).rejects.toMatchObject({ code: "corrupt" });
    const { ahead } = await database.status();
    expect(ahead).toBe(0);
    await database.exec("INSERT INTO small VALUES ('goes on')");
    expect(await database.query("SELECT a FROM small")).toEqual([{ a: "first page" }, { a: "goes on" }]);
    expect(await database.query("SELECT i FROM t WHERE i = 1")).toEqual([{ i: 1 }]);
    await repair();
    expect(await database.query("SELECT count(*) AS n, sum(length(s)) AS bytes FROM t NOT INDEXED")).toEqual([
      { n: ROWS, bytes: ROWS * 200 },
    ]);
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });
});
