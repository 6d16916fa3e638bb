/** Several databases on one space: what is pushed and pulled, who wins, what the past looks like. */
import type { Database } from "../../../vfs/database.ts";
import type { TestApi } from "../../contracts/object-store.ts";
import { check, equal, failure } from "./checks.ts";
import { type Opened, opening, type SqlRun, type SqlSpace, sleep } from "./sql-run.ts";

/** A counter that was pushed, and a second database on it. */
async function twoCounters(opened: Opened): Promise<{ one: Database; two: Database; space: SqlSpace }> {
  const space = opened.space();
  const one = await opened.open(space, "main", { create: true });
  await one.exec("CREATE TABLE counter(n); INSERT INTO counter VALUES (0)");
  await one.push();
  return { one, two: await opened.open(space, "main"), space };
}

const counterOf = async (db: Pick<Database, "queryOne">): Promise<unknown> =>
  (await db.queryOne("SELECT n FROM counter"))?.n;

export function syncCases({ it }: TestApi, run: SqlRun): void {
  it(
    "a pull is seen by the next statement, not by a transaction that is open",
    opening(run, async (opened) => {
      const { one, two } = await twoCounters(opened);
      equal(await counterOf(two), 0);
      await one.exec("UPDATE counter SET n = 1; CREATE TABLE later(a)");
      await one.push();
      equal(await two.fetch(), { lsn: 2, behind: 1 });
      equal(await counterOf(two), 0, "fetched, not pulled");
      await two.transaction(
        async (tx) => {
          equal(await counterOf(tx), 0);
          const { from, lsn } = await two.pull();
          equal([from, lsn], [1, 2]);
          equal(await counterOf(tx), 0, "within the transaction");
          await failure(tx.exec("UPDATE counter SET n = 7"), "conflict");
        },
        { mode: "deferred" },
      );
      equal(await counterOf(two), 1);
      equal(await two.query("SELECT * FROM later"), []);
    }),
  );

  it(
    "a live query sees what is pulled and what is reset",
    opening(run, async (opened) => {
      const { one, two } = await twoCounters(opened);
      const seen: unknown[] = [];
      for await (const rows of two.live("SELECT n FROM counter")) {
        seen.push(rows[0]?.n);
        if (seen.length === 1) {
          await one.exec("UPDATE counter SET n = 1");
          await one.push();
          await two.pull();
        } else if (seen.length === 2) await two.exec("UPDATE counter SET n = 2");
        else if (seen.length === 3) await two.reset();
        else break;
      }
      equal(seen, [0, 1, 2, 1]);
    }),
  );

  it(
    "invariant 5: who loses the race is told, and chooses: keep, drop, fork",
    opening(run, async (opened) => {
      const { one, two, space } = await twoCounters(opened);
      await one.exec("UPDATE counter SET n = 1");
      await two.exec("UPDATE counter SET n = 2");
      await one.push();
      await failure(two.push(), "diverged");
      equal((await two.status()).state, "diverged");
      equal(await counterOf(two), 2, "kept");
      const forked = await two.push({ onDiverged: "fork", tag: "mine" });
      equal([forked.outcome, forked.fork?.tag], ["forked", "mine"]);
      equal(await counterOf(two), 1, "after the fork");
      await two.exec("UPDATE counter SET n = 3");
      await one.exec("UPDATE counter SET n = 4");
      await one.push();
      equal((await two.push({ onDiverged: "reset" })).outcome, "reset");
      equal(await counterOf(two), 4, "after the reset");
      await failure(opened.open(space, "nobody"), "not_found");
    }),
  );

  it(
    "invariant 5: writers that race and make their changes again lose none",
    opening(run, async (opened) => {
      const { one, two } = await twoCounters(opened);
      const increment = "UPDATE counter SET n = n + 1";
      let replays = 0;
      const write = async (db: Database): Promise<void> => {
        for (let i = 0; i < 4; i++) {
          await db.exec(increment);
          const pushed = await db.push({
            onDiverged: async (tx) => {
              await tx.exec(increment);
            },
          });
          replays += pushed.replays;
        }
      };
      await Promise.all([write(one), write(two)]);
      await Promise.all([one.pull(), two.pull()]);
      equal([await counterOf(one), await counterOf(two)], [8, 8]);
      check(replays > 0, "nobody ever lost the race");
      equal(
        (await one.log()).map(({ lsn }) => lsn),
        [9, 8, 7, 6, 5, 4, 3, 2, 1],
      );
    }),
  );

  it(
    "invariant 1: the past stays as it was, by number and by time, whatever is pushed",
    opening(run, async (opened) => {
      const { one, two } = await twoCounters(opened);
      const times = [new Date((await one.log())[0]?.time ?? 0)];
      for (let n = 1; n <= 3; n++) {
        await one.exec("UPDATE counter SET n = ?", [n]);
        await one.push();
        times.push(new Date((await one.log({ limit: 1 }))[0]?.time ?? 0));
      }
      await two.pull();
      for (const db of [one, two]) {
        for (const lsn of [1, 3]) {
          const past = await db.at(lsn);
          equal([past.lsn, await counterOf(past)], [lsn, lsn - 1]);
          await failure(past.exec("UPDATE counter SET n = 9"), "invalid");
          await past.close();
          await failure(past.query("SELECT 1"), "closed");
        }
        const past = await db.at(times[2] ?? new Date());
        check(
          past.lsn >= 3 || times[3]?.getTime() === times[2]?.getTime(),
          `at the time of LSN 3: ${past.lsn}`,
        );
        await past.close();
        await failure(db.at(17), "not_found");
        const { objects } = await db.diff(1, 4);
        equal(
          objects?.map(({ name, change }) => [name, change]),
          [["counter", "content"]],
        );
        equal(
          (await db.log({ since: 2, until: 3 })).map((entry) => entry.lsn),
          [3, 2],
        );
      }
    }),
  );

  it(
    "invariant 3: a push that was cut off is finished by the next one, and made once",
    opening(run, async (opened) => {
      const { one, two, space } = await twoCounters(opened);
      await one.exec("UPDATE counter SET n = 1");
      await space.rule("puts", "hold");
      const controller = new AbortController();
      const pushing = failure(one.push({ signal: controller.signal }), "aborted", "unavailable");
      await sleep(100);
      controller.abort();
      await pushing;
      await space.clear();
      equal(await counterOf(one), 1);
      await one.exec("UPDATE counter SET n = 2");
      await one.push();
      await one.push();
      equal((await one.status()).ahead, 0);
      await two.pull();
      equal(await counterOf(two), 2);
      await two.verify();
      const lsns = (await two.log()).map(({ lsn }) => lsn);
      equal(
        lsns,
        lsns.map((_, i) => lsns.length - i),
        "no gaps",
      );
    }),
  );
}
