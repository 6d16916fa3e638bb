/** What ends before its time: by a signal, by closing, while SQLite computes, waits for pages, or has not begun. */
import { isPagefoldError } from "../../../src/base/errors.ts";
import type { TestApi } from "../../contracts/object-store.ts";
import { check, equal, failure } from "./checks.ts";
import { ENDLESS, opening, type SqlRun, SUM, SUM_SQL, sleep, WORDS } from "./sql-run.ts";

const LONG =
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 500000) SELECT count(*) AS n FROM c";
/** Where nothing interrupts a request that has been sent: it ends by itself. */
const REQUEST_LIMIT_MS = 1000;

/** Fails with `aborted` once the signal fires. What it interrupts has no end of its own: where the signal is not heard, this does not end either. */
async function checkAborted(
  work: (signal: AbortSignal) => Promise<unknown>,
  meanwhile: () => Promise<unknown> = () => sleep(100),
): Promise<void> {
  const controller = new AbortController();
  const running = failure(work(controller.signal), "aborted");
  await meanwhile();
  controller.abort();
  await running;
}

export function signalCases(api: TestApi, run: SqlRun): void {
  const { it } = api;

  it(
    "a query that computes is interrupted, and timers run meanwhile",
    opening(run, async (opened) => {
      const db = await opened.create();
      await checkAborted(
        (signal) => db.query(ENDLESS, { signal }),
        async () => {
          for (let ticks = 0; ticks < 10; ticks++) await sleep(10);
        },
      );
      equal(await db.query("SELECT 1 AS one"), [{ one: 1 }]);
    }),
  );

  it(
    "a query that waits for its turn is interrupted, and the one before it is not",
    opening(run, async (opened) => {
      const db = await opened.create();
      const first = db.query(LONG);
      await checkAborted((signal) => db.query(ENDLESS, { signal }));
      equal(await first, [{ n: 500_000 }]);
    }),
  );

  it(
    "several that are interrupted at once all end",
    opening(run, async (opened) => {
      const db = await opened.create();
      await checkAborted(async (signal) => {
        const results = await Promise.allSettled([1, 2, 3].map(() => db.query(ENDLESS, { signal })));
        for (const result of results) {
          check(result.status === "rejected", "an endless query ended");
          check(isPagefoldError(result.reason, "aborted"), String(result.reason));
        }
        throw (results[0] as PromiseRejectedResult).reason;
      });
      const waiting = [1, 2, 3].map(() => failure(db.query(ENDLESS), "aborted", "closed"));
      await sleep(50);
      await db.close();
      await Promise.all(waiting);
    }),
  );

  it(
    "a change that is interrupted leaves nothing, in a transaction or not",
    opening(run, async (opened) => {
      const db = await opened.create();
      await db.exec("CREATE TABLE t(a)");
      const fill = `INSERT INTO t SELECT 1 FROM (${ENDLESS.replace("count(*)", "*")})`;
      await checkAborted((signal) => db.exec(fill, { signal }));
      equal(await db.query("SELECT count(*) AS n FROM t"), [{ n: 0 }]);
      await db.transaction(async (tx) => {
        await tx.exec("INSERT INTO t VALUES (2)");
        await checkAborted((signal) => tx.query(ENDLESS, { signal }));
        await tx.exec("INSERT INTO t VALUES (3)");
      });
      equal(await db.query("SELECT a FROM t"), [{ a: 2 }, { a: 3 }]);
    }),
  );

  if (run.bridge !== "resident-only") waitingCases(api, run);
}

function waitingCases({ it }: TestApi, run: SqlRun): void {
  const options = run.bridge === "sync-xhr" ? { faultTimeoutMs: REQUEST_LIMIT_MS } : {};

  it(
    "a query that waits for pages is interrupted",
    opening(run, async (opened) => {
      const space = opened.imported();
      const db = await opened.open(space, "words", options);
      await space.rule("gets", "hold");
      // A synchronous request cannot be taken back; the next attempt is not made.
      await checkAborted((signal) => db.query(SUM_SQL, { signal }));
      await space.clear();
      equal(await db.queryOne(SUM_SQL), { rows: WORDS, sum: SUM });
    }),
  );

  it(
    "closing ends a query that waits for pages",
    opening(run, async (opened) => {
      const space = opened.imported();
      const db = await opened.open(space, "words");
      await space.rule("gets", "hold");
      const running = failure(db.query(SUM_SQL), "aborted", "closed");
      await sleep(100);
      const start = performance.now();
      await db.close();
      await running;
      const took = performance.now() - start;
      check(took < 15_000, `closing took ${took} ms, of a query whose requests are held for ever`);
      await space.clear();
    }),
  );

  // With jspi every request is one of the application's own store, which has its own limits.
  if (run.bridge === "jspi") return;
  it(
    "a store that never answers ends a query in time",
    opening(run, async (opened) => {
      const space = opened.imported();
      const db = await opened.open(space, "words", { faultTimeoutMs: 800 });
      await space.rule("gets", "hold");
      await failure(db.query(SUM_SQL), "unavailable");
      await space.clear();
      equal(await db.queryOne(SUM_SQL), { rows: WORDS, sum: SUM });
    }),
  );
}
