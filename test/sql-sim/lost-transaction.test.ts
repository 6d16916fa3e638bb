/**
 * A read that fails ends SQLite's transaction, also where SQLite keeps the failure to itself (statistics that cannot be loaded): nothing of a
 * transaction may be committed then, whatever the application does next.
 */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { type Fault, withFaults } from "../../src/remote/with-faults.ts";
import { Database } from "../../vfs/index.ts";
import { bundleWorker } from "../vfs/bundle.ts";

const DOWN = new PagefoldError("unavailable", "the network is down; try again", { retryable: false });
/** A page is a frame, and so few are kept that every transaction on a new state has to fetch. */
const settings = { frameBytes: 4096, readAhead: undefined, memoryBytes: 8 * 4096 };
const closers: (() => Promise<void>)[] = [];
let workerUrl: URL;

beforeAll(async () => {
  workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A writer, and a replica whose request number `down`, counted from `requests` = 0 on, fails. */
async function pair(): Promise<{
  writer: Database;
  replica: Database;
  net: { requests: number; down: number };
}> {
  const shared = new MemoryObjectStore();
  const net = { requests: 0, down: 0 };
  const plan = (): Fault | undefined =>
    ++net.requests === net.down ? { kind: "fail-before", error: DOWN } : undefined;
  const writer = await Database.open(shared, "db", { create: true, workerUrl, settings });
  closers.push(() => writer.close());
  await writer.exec(`
    CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c INTEGER); CREATE INDEX tb ON t(b); CREATE INDEX tc ON t(c);
    WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 2000)
      INSERT INTO t SELECT i, hex(i * 7919), i % 10 FROM s;
    CREATE VIRTUAL TABLE words USING fts5(word); INSERT INTO words VALUES ('first');
    ANALYZE;`);
  await writer.push();
  const store = withFaults(shared, plan, { runtime: systemRuntime });
  const replica = await Database.open(store, "db", { workerUrl, settings });
  closers.push(() => replica.close());
  return { writer, replica, net };
}

describe("invariant 2: a transaction is whole or not at all", () => {
  it("whichever request of it fails", async () => {
    const { writer, replica, net } = await pair();
    let failures = 0;
    for (net.down = 1; ; net.down++) {
      // Another schema: it is parsed again, and the statistics are loaded, within the transaction.
      await writer.exec(`CREATE TABLE other${net.down}(x); UPDATE t SET c = c + 1; ANALYZE`);
      await writer.push();
      net.requests = Number.NEGATIVE_INFINITY;
      await replica.pull();
      net.requests = 0;
      const error = await replica
        .transaction(async (transaction) => {
          await transaction.exec("INSERT INTO t VALUES (-1, 'x', 1)");
          await transaction.exec("INSERT INTO words VALUES ('second')");
          await transaction.exec("UPDATE t SET b = 'changed' WHERE b = hex(7919)");
          await transaction.exec("DELETE FROM t WHERE a = 1000");
        })
        .catch((error: unknown) => error);
      const done = net.requests < net.down;
      net.requests = Number.NEGATIVE_INFINITY;
      expect((await replica.status()).ahead, `request ${net.down} failed`).toBe(done ? 1 : 0);
      if (done) {
        expect(error).toBeUndefined();
        break;
      }
      failures++;
      expect(error, `request ${net.down} failed`).toMatchObject({
        code: "unavailable",
        message: DOWN.message,
      });
    }
    expect(failures).toBeGreaterThan(5);
    expect(await replica.query("SELECT count(*) AS n FROM t")).toEqual([{ n: 2000 }]);
    expect((await replica.execute("PRAGMA integrity_check")).rows).toEqual([["ok"]]);
  });

  it("one statement outside of a transaction, too", async () => {
    const { writer, replica, net } = await pair();
    for (net.down = 1; ; net.down++) {
      await writer.exec(`CREATE TABLE other${net.down}(x); UPDATE t SET c = c + 1; ANALYZE`);
      await writer.push();
      net.requests = Number.NEGATIVE_INFINITY;
      await replica.pull();
      net.requests = 0;
      const error = await replica.exec("INSERT INTO t VALUES (-1, 'x', 1)").then(
        () => undefined,
        (error: unknown) => error,
      );
      const done = net.requests < net.down;
      net.requests = Number.NEGATIVE_INFINITY;
      const { ahead } = await replica.status();
      expect([ahead, error === undefined], `request ${net.down} failed`).toEqual(
        done ? [1, true] : [0, false],
      );
      if (done) break;
    }
  });

  it("where the application catches the failure and goes on", async () => {
    const { replica, net } = await pair();
    await replica.query("SELECT 1 FROM sqlite_schema");
    const told: unknown[] = [];
    const running = replica.transaction(async (transaction) => {
      await transaction.exec("INSERT INTO words VALUES ('second')");
      net.requests = 0;
      net.down = 1;
      await transaction.exec("DELETE FROM t WHERE a = 1000").catch((error: unknown) => told.push(error));
      await transaction
        .exec("INSERT INTO words VALUES ('third')")
        .catch((error: unknown) => told.push(error));
    });
    await expect(running).rejects.toMatchObject({ code: "conflict" });
    expect(told).toMatchObject([{ code: "unavailable" }, { code: "conflict" }]);
    expect((await replica.status()).ahead).toBe(0);
    expect(await replica.query("SELECT word FROM words")).toEqual([{ word: "first" }]);
    await replica.exec("INSERT INTO words VALUES ('fourth')");
    expect((await replica.status()).ahead).toBe(1);
  });
});
