/** SQL on a database of a few megabytes that another process imported: pages come when they are touched, go when memory is short, and fail. */
import type { Database } from "../../../vfs/database.ts";
import type { TestApi } from "../../contracts/object-store.ts";
import { check, equal, failure } from "./checks.ts";
import { numberOf, opening, type SqlRun, SUM, SUM_SQL, WORDS, wordOf } from "./sql-run.ts";

const PAGE = 4096;
/** Spread over the whole table. */
const SOME_IDS = Array.from({ length: 24 }, (_, i) => (i * 7919 * 13) % WORDS || 1);

async function checkSums(db: Database, what: string): Promise<void> {
  equal(await db.queryOne(SUM_SQL), { rows: WORDS, sum: SUM }, what);
}

async function checkIntegrity(db: Database): Promise<void> {
  equal(await db.query("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
}

export function faultCases({ it }: TestApi, run: SqlRun): void {
  it(
    "invariant 6: what is touched is fetched, once, and is right",
    opening(run, async (opened) => {
      const db = await opened.words();
      const byId = await db.execute("SELECT word, n FROM words WHERE id = ?", [13_141]);
      equal(byId.rows, [[wordOf(13_141), numberOf(13_141)]]);
      const { faults, requests, bytesFetched } = byId.stats;
      check(faults > 0 && requests > 0 && bytesFetched > 4096, JSON.stringify(byId.stats));
      const byWord = await db.query("SELECT id FROM words WHERE word = ?", [wordOf(271)]);
      equal(byWord, [{ id: 271 }]);
      const again = await db.execute("SELECT id FROM words WHERE word = ?", [wordOf(271)]);
      equal([again.stats.faults, again.stats.requests], [0, 0], "faults and requests of the same again");
      const { residentPages, pageCount } = await db.status();
      check(residentPages < pageCount / 4, `${residentPages} of ${pageCount} pages were fetched`);
      const range = await db.query(
        "SELECT id FROM words WHERE id BETWEEN 9000 AND 9999 AND n = 7 ORDER BY id",
      );
      const ids = Array.from({ length: 1000 }, (_, i) => 9000 + i).filter((id) => numberOf(id) === 7);
      equal(
        range,
        ids.map((id) => ({ id })),
      );
      await checkSums(db, "a scan");
    }),
  );

  it(
    "invariant 10: with memory for 64 pages everything is read, changed and pushed all the same",
    opening(run, async (opened) => {
      const space = opened.imported();
      const settings = { memoryBytes: 64 * PAGE, transactionBytes: 16 * PAGE };
      const db = await opened.open(space, "words", { settings });
      await db.query("PRAGMA cache_size = 10");
      for (const id of SOME_IDS)
        equal(await db.query("SELECT id FROM words WHERE word = ?", [wordOf(id)]), [{ id }]);
      const { residentPages } = await db.status();
      check(residentPages <= 64, `${residentPages} pages are resident`);
      await db.transaction(async (tx) => {
        await tx.exec("UPDATE words SET n = n + 1 WHERE id % 40 = 0");
        equal(await tx.queryOne(SUM_SQL), { rows: WORDS, sum: SUM + WORDS / 40 });
      });
      await db.exec("DELETE FROM words WHERE id > 19000");
      equal((await db.push()).outcome, "pushed");
      const reader = await opened.open(space, "words");
      await checkIntegrity(reader);
      equal(await reader.queryOne("SELECT count(*) AS rows FROM words"), { rows: 19_000 });
    }),
  );

  it(
    "a store that fails in the middle of a query ends it, and nothing else",
    opening(run, async (opened) => {
      const space = opened.imported();
      const db = await opened.open(space, "words");
      await space.rule("gets", 503, 2);
      const failed = await failure(db.query(SUM_SQL), "unavailable");
      check(/503/.test(failed.message), failed.message);
      await space.rule("gets", 403);
      const refused = await failure(db.query(SUM_SQL), "forbidden", "unavailable");
      check(!refused.retryable, "a refusal is not to be repeated");
      await space.clear();
      await checkSums(db, "afterwards");
    }),
  );

  it(
    "a store that fails in the middle of a change leaves nothing of it",
    opening(run, async (opened) => {
      const space = opened.imported();
      const db = await opened.open(space, "words");
      await space.rule("gets", 503, 2);
      await failure(db.exec("UPDATE words SET n = 0"), "unavailable");
      const error = await failure(
        db.transaction(async (tx) => {
          await tx.exec("INSERT INTO words(n) VALUES (5)").catch(() => {});
          await failure(tx.exec("UPDATE words SET n = 0"), "conflict");
        }),
        "conflict",
      );
      check(error.message.includes("rolled back already"), error.message);
      await space.clear();
      equal((await db.status()).ahead, 0, "local commits");
      await checkSums(db, "afterwards");
      await db.exec("UPDATE words SET n = 1");
      equal(await db.queryOne(SUM_SQL), { rows: WORDS, sum: WORDS });
      await checkIntegrity(db);
    }),
  );

  it(
    "answers that break off are asked for again",
    opening(run, async (opened) => {
      const space = opened.imported();
      const db = await opened.open(space, "words");
      await space.rule("gets", "drop");
      await checkSums(db, "through a line that drops two of three");
    }),
  );

  it(
    "invariant 7: damaged pages are corrupt and never become rows",
    opening(run, async (opened) => {
      const space = opened.imported();
      await space.damage();
      const db = await opened.open(space, "words");
      await failure(db.query(SUM_SQL), "corrupt");
      await failure(db.query(SUM_SQL), "corrupt");
      equal(await db.query("SELECT 1 AS one"), [{ one: 1 }]);
    }),
  );

  it(
    "queries, iterations, views, a live query and a transaction fault all at once",
    opening(run, async (opened) => {
      const space = opened.imported();
      const db = await opened.open(space, "words", { settings: { memoryBytes: 64 * PAGE } });
      const [past, other] = await Promise.all([db.at(1), db.at(1)]);
      await space.rule("gets", "slow");
      const point = async (source: Pick<Database, "query">, id: number): Promise<void> =>
        equal(await source.query("SELECT n FROM words WHERE word = ?", [wordOf(id)]), [{ n: numberOf(id) }]);
      const iterate = async (from: number): Promise<void> => {
        let id = from;
        for await (const row of db.iterate("SELECT id FROM words WHERE id >= ? LIMIT 200", [from]))
          equal(row, { id: id++ });
        equal(id, from + 200);
      };
      const live = db.live("SELECT count(*) AS n FROM words WHERE n = 3");
      await Promise.all([
        ...SOME_IDS.slice(0, 12).flatMap((id) => [point(db, id), point(past, id + 1), point(other, id + 2)]),
        ...[100, 9000, 19_000].map(iterate),
        db.transaction(async (tx) => {
          await Promise.all(SOME_IDS.slice(12, 18).map((id) => point(tx, id)));
          await tx.exec("UPDATE words SET n = n WHERE id IN (5, 5000, 15000)");
        }),
        live.next().then(({ value }) => equal(value, [{ n: WORDS / 1000 }])),
      ]);
      await live.return();
      await Promise.all([past.close(), other.close()]);
    }),
  );

  it(
    "closing a view, then the database, in the middle of everything ends it all, and no memory is touched that was let go",
    opening(run, async (opened) => {
      const space = opened.imported();
      const db = await opened.open(space, "words", { settings: { memoryBytes: 64 * PAGE } });
      const [past, other] = await Promise.all([db.at(1), db.at(1)]);
      await space.rule("gets", "slow");
      const readAll = async (source: Pick<Database, "iterate">): Promise<void> => {
        for await (const row of source.iterate("SELECT id, word FROM words ORDER BY word"))
          equal(row.word, wordOf(row.id as number));
      };
      const ended = (work: Promise<unknown>) => failure(work, "closed", "aborted");
      const ofPast = [ended(readAll(past)), ended(readAll(past))];
      const all = [db, other].flatMap((source) => [ended(readAll(source)), ended(readAll(source))]);
      const live = db.live(SUM_SQL);
      equal((await live.next()).value, [{ rows: WORDS, sum: SUM }]);
      all.push(ended(live.next()));
      await past.close();
      await Promise.all(ofPast);
      await other.query("SELECT n FROM words WHERE id = 5");
      await db.close();
      await Promise.all(all);
    }),
  );
}
