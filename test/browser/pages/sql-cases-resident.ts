/** The bridge that fetches nothing: what is here works, what is not is said, and hydrating brings the rest. */
import type { TestApi } from "../../contracts/object-store.ts";
import { check, equal, failure } from "./checks.ts";
import { opening, type SqlRun, SUM, SUM_SQL, WORDS } from "./sql-run.ts";

export function residentCases({ it }: TestApi, run: SqlRun): void {
  it(
    "a page that is not here is unavailable, and after hydrating it is",
    opening(run, async (opened) => {
      const db = await opened.words();
      const error = await failure(db.query(SUM_SQL), "unavailable");
      check(!error.retryable && error.message.includes("hydrate"), error.message);
      const progress: string[] = [];
      db.on("progress", ({ what }) => progress.push(what));
      const { pages } = await db.hydrate();
      equal((await db.status()).residentPages, pages, "resident pages");
      check(progress.includes("hydrate"), "progress was told");
      equal(await db.queryOne(SUM_SQL), { rows: WORDS, sum: SUM });
      await db.exec("UPDATE words SET n = 0");
      equal((await db.push()).lsn, 2);
    }),
  );

  it(
    "what another writer pushed is hydrated again after the pull",
    opening(run, async (opened) => {
      const space = opened.space();
      const one = await opened.open(space, "main", { create: true });
      await one.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
      await one.push();
      const two = await opened.open(space, "main");
      await two.hydrate();
      equal(await two.query("SELECT a FROM t"), [{ a: 1 }]);
      await one.exec("INSERT INTO t VALUES (2)");
      await one.push();
      await two.pull();
      await failure(two.query("SELECT a FROM t"), "unavailable");
      await two.hydrate();
      equal(await two.query("SELECT a FROM t"), [{ a: 1 }, { a: 2 }]);
    }),
  );
}
