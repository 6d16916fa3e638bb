/** SQL on a new database: values, transactions, iteration, live queries, events. Nothing here has to be fetched, so every bridge can do it. */
import type { TestApi } from "../../contracts/object-store.ts";
import { check, equal, failure } from "./checks.ts";
import { ENDLESS, opening, type SqlRun, sleep } from "./sql-run.ts";

export function localCases({ it }: TestApi, run: SqlRun): void {
  it(
    "every kind of value comes back as it went in",
    opening(run, async (opened) => {
      const db = await opened.create();
      await db.exec("CREATE TABLE t(i INTEGER PRIMARY KEY, v)");
      const values = [
        null,
        0,
        -1.5,
        2 ** 53 - 1,
        2n ** 62n,
        "",
        "é\u{1f4c4}\0x",
        new Uint8Array([0, 255, 7]),
      ];
      for (const value of values) await db.exec("INSERT INTO t(v) VALUES (?)", [value]);
      const { rows } = await db.execute("SELECT v FROM t ORDER BY i");
      equal(rows.length, values.length);
      values.forEach((value, i) => {
        const found = rows[i]?.[0];
        if (value instanceof Uint8Array) equal([...(found as Uint8Array)], [...value]);
        else check(Object.is(found, value), `value ${i}: ${String(found)}, not ${String(value)}`);
      });
      const named = await db.queryOne("SELECT :a AS a, @b AS b", { a: true, b: "x" });
      equal(named, { a: 1, b: "x" });
    }),
  );

  it(
    "a database says how it runs",
    opening(run, async (opened) => {
      const db = await opened.create();
      const { bridge, storage, state, pageCount, readOnly } = await db.status();
      equal(
        { bridge, storage, state, pageCount, readOnly },
        { bridge: run.bridge, storage: "memory", state: "clean", pageCount: 0, readOnly: false },
      );
    }),
  );

  it(
    "each statement is a local commit, and a push makes one remote commit of all",
    opening(run, async (opened) => {
      const db = await opened.create();
      const commits: string[] = [];
      db.on("commit", ({ where, lsn }) => commits.push(`${where} ${lsn}`));
      await db.exec("CREATE TABLE t(a)");
      const { changes, lastInsertRowid, commit } = await db.exec("INSERT INTO t VALUES (1), (2)");
      equal({ changes, lastInsertRowid }, { changes: 2, lastInsertRowid: 2 });
      equal(commit?.where, "local");
      equal((await db.status()).ahead, 2, "commits ahead");
      const { outcome, lsn, commits: pushed, ahead } = await db.push();
      equal({ outcome, lsn, pushed, ahead }, { outcome: "pushed", lsn: 1, pushed: 2, ahead: 0 });
      equal((await db.push()).outcome, "nothing");
      equal((await db.log()).map((entry) => entry.lsn).join(), "1");
      equal(commits, ["local 0", "local 0", "remote 1"], "events");
      equal((await db.query("SELECT a FROM t")).length, 2);
    }),
  );

  it(
    "a transaction commits whole, or leaves no trace",
    opening(run, async (opened) => {
      const db = await opened.create();
      await db.exec("CREATE TABLE t(a UNIQUE)");
      const seen = await db.transaction(async (tx) => {
        await tx.exec("INSERT INTO t VALUES (1)");
        await tx.exec("INSERT INTO t VALUES (2)");
        return tx.queryOne("SELECT count(*) AS n FROM t");
      });
      equal(seen, { n: 2 });
      equal((await db.status()).ahead, 2, "commits");
      const thrown = await db
        .transaction(async (tx) => {
          await tx.exec("DELETE FROM t");
          throw new Error("changed my mind");
        })
        .catch((error: Error) => error.message);
      equal(thrown, "changed my mind");
      await failure(
        db.transaction(async (tx) => {
          await tx.exec("INSERT INTO t VALUES (3)");
          await tx.exec("INSERT INTO t VALUES (3)");
        }),
        "invalid",
      );
      equal(await db.query("SELECT a FROM t ORDER BY a"), [{ a: 1 }, { a: 2 }]);
      equal((await db.status()).ahead, 2, "commits after two rollbacks");
    }),
  );

  it(
    "others wait while a transaction is open, as long as they may",
    opening(run, async (opened) => {
      const db = await opened.create();
      await db.exec("CREATE TABLE t(a)");
      const order: string[] = [];
      let waiting: Promise<unknown> | undefined;
      await db.transaction(async (tx) => {
        waiting = db.exec("INSERT INTO t VALUES ('other')").then(() => order.push("other"));
        await sleep(30);
        await tx.exec("INSERT INTO t VALUES ('own')");
        order.push("own");
      });
      await waiting;
      equal(order, ["own", "other"]);
      const hasty = await opened.create({ busyTimeoutMs: 150 });
      const busy = await hasty.transaction(async () => failure(hasty.query("SELECT 1"), "busy"));
      check(busy.message.includes("150 ms"), busy.message);
      equal(await db.query("SELECT a FROM t"), [{ a: "own" }, { a: "other" }]);
    }),
  );

  it(
    "rows are iterated to the end, or left, also within a transaction",
    opening(run, async (opened) => {
      const db = await opened.create();
      await db.exec(
        "CREATE TABLE t(a); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000) INSERT INTO t SELECT i FROM c",
      );
      let sum = 0;
      for await (const { a } of db.iterate<{ a: number }>("SELECT a FROM t")) sum += a;
      equal(sum, 4_501_500);
      for await (const { a } of db.iterate<{ a: number }>("SELECT a FROM t")) if (a === 40) break;
      await db.transaction(async (tx) => {
        for await (const { a } of tx.iterate<{ a: number }>("SELECT a FROM t WHERE a % 1000 = 0"))
          await tx.exec("DELETE FROM t WHERE a = ?", [a]);
      });
      equal(await db.queryOne("SELECT count(*) AS n FROM t"), { n: 2997 });
      const seen: unknown[] = [];
      await failure(
        (async () => {
          for await (const { v } of db.iterate(
            "SELECT abs(iif(a < 3, a, -9223372036854775807 - 1)) AS v FROM t",
          ))
            seen.push(v);
        })(),
        "invalid",
      );
      equal(await db.queryOne("SELECT count(*) AS n FROM t"), { n: 2997 });
    }),
  );

  it(
    "a live query answers again when its rows have changed, and only then",
    opening(run, async (opened) => {
      const db = await opened.create();
      await db.exec("CREATE TABLE t(a); CREATE TABLE other(a); INSERT INTO t VALUES (1)");
      const seen: unknown[] = [];
      for await (const rows of db.live("SELECT count(*) AS n FROM t")) {
        seen.push(rows[0]?.n);
        if (seen.length === 3) break;
        // Of the first two changes neither concerns the query.
        await db.exec("INSERT INTO other VALUES (1)");
        await db.exec("UPDATE t SET a = a + 1");
        void db.exec("INSERT INTO t VALUES (1)");
      }
      equal(seen, [1, 2, 3]);
      const ended = new AbortController();
      const results = db.live("SELECT 1 AS one", { signal: ended.signal });
      equal((await results.next()).value, [{ one: 1 }]);
      setTimeout(() => ended.abort(), 20);
      await failure(results.next(), "aborted");
    }),
  );

  it(
    "full text search, R-trees, JSON, temporary tables, big sorts and VACUUM work",
    opening(run, async (opened) => {
      const db = await opened.create({ tempBytes: 32 * 2 ** 20 });
      await db.exec(`CREATE VIRTUAL TABLE notes USING fts5(text);
        INSERT INTO notes VALUES ('pages of a volume'), ('a volume of tides'), ('nothing at all');
        CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1); INSERT INTO boxes VALUES (1, 0, 2), (2, 5, 6);
        CREATE TEMP TABLE many AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 30000)
          SELECT i, printf('%08x', i * 2654435761 % 4294967296) AS word FROM c;`);
      equal(await db.queryOne("SELECT count(*) AS n FROM notes WHERE notes MATCH 'volume'"), { n: 2 });
      equal(await db.query("SELECT id FROM boxes WHERE x1 > 4"), [{ id: 2 }]);
      equal(await db.queryOne(`SELECT json_extract('{"a":[1,2]}', '$.a[1]') AS two`), { two: 2 });
      const sorted = await db.query<{ word: string }>("SELECT word FROM many ORDER BY word");
      check(
        sorted.every(({ word }, i) => i === 0 || (sorted[i - 1]?.word ?? "") <= word),
        "the sort is in order",
      );
      await db.exec("CREATE TABLE kept AS SELECT * FROM many; DELETE FROM kept WHERE i % 10; VACUUM");
      equal(await db.queryOne("SELECT count(*) AS n FROM kept"), { n: 3000 });
      equal(await db.query("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
    }),
  );

  it(
    "what is wrong with a statement is said, and the database goes on",
    opening(run, async (opened) => {
      const db = await opened.create();
      await db.exec("CREATE TABLE t(a NOT NULL)");
      check((await failure(db.query("SELEC 1"), "invalid")).message.includes("SELEC"), "names the token");
      await failure(db.query("SELECT ?"), "invalid");
      await failure(db.query("SELECT 1", [1]), "invalid");
      await failure(db.query("SELECT ?", [(() => 1) as never]), "invalid");
      await failure(db.exec("INSERT INTO t VALUES (NULL)"), "invalid");
      equal(await db.query("SELECT 1 AS one"), [{ one: 1 }]);
    }),
  );

  it(
    "two databases are attached and commit together",
    opening(run, async (opened) => {
      const space = opened.space();
      const other = await opened.open(space, "other", { create: true });
      await other.exec("CREATE TABLE u(b)");
      await other.push();
      await other.close();
      const db = await opened.open(space, "main", { create: true });
      await db.exec("CREATE TABLE t(a)");
      await failure(db.exec("ATTACH 'side' AS side"), "not_found");
      // Its first page would have to be fetched.
      if (run.bridge === "resident-only") return;
      await db.exec("ATTACH 'other' AS other");
      await db.exec("BEGIN; INSERT INTO t VALUES (1); INSERT INTO other.u VALUES (2); COMMIT");
      equal(await db.queryOne("SELECT a, b FROM t, other.u"), { a: 1, b: 2 });
    }),
  );

  it(
    "what is asked for at once is answered in order",
    opening(run, async (opened) => {
      const db = await opened.create();
      await db.exec("CREATE TABLE t(a)");
      const inserts = Array.from({ length: 30 }, (_, i) => db.exec("INSERT INTO t VALUES (?)", [i]));
      const counts = inserts.map(() => db.queryOne("SELECT count(*) AS n FROM t"));
      await Promise.all(inserts);
      equal(
        (await Promise.all(counts)).map((row) => row?.n),
        Array.from({ length: 30 }, () => 30),
      );
      equal(
        (await db.query("SELECT a FROM t")).map(({ a }) => a),
        Array.from({ length: 30 }, (_, i) => i),
      );
    }),
  );

  it(
    "a large transaction spills, and commits or not",
    opening(run, async (opened) => {
      const db = await opened.create({ settings: { transactionBytes: 65_536 } });
      const fill =
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000) INSERT INTO t SELECT i, randomblob(500) FROM c";
      await db.exec("CREATE TABLE t(i INTEGER PRIMARY KEY, b)");
      await db.exec(fill);
      const changed = db.transaction(async (tx) => {
        await tx.exec("UPDATE t SET b = randomblob(700)");
        equal(await tx.queryOne("SELECT sum(length(b)) AS bytes FROM t"), { bytes: 1_400_000 });
        throw new Error("never mind");
      });
      equal(await changed.catch((error: Error) => error.message), "never mind");
      equal(await db.queryOne("SELECT count(*) AS n, sum(length(b)) AS bytes FROM t"), {
        n: 2000,
        bytes: 1_000_000,
      });
      equal(await db.query("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
    }),
  );

  it(
    "closing ends what runs, is done once, and nothing runs afterwards",
    opening(run, async (opened) => {
      const db = await opened.create();
      await db.exec("CREATE TABLE t(a)");
      const running = failure(db.query(ENDLESS), "aborted", "closed");
      await sleep(30);
      await Promise.all([db.close(), db.close()]);
      await running;
      check(
        (await failure(db.query("SELECT 1"), "closed")).message.includes("open it again"),
        "says what to do",
      );
    }),
  );
}
