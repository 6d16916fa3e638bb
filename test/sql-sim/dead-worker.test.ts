/**
 * The SQL worker ends in the middle of something: the database says so, everything that waits is told, and opening it again in the same process
 * gives what was acknowledged, or that and what was under way.
 */
import * as fs from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemRuntime } from "../../src/base/runtime.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { withFaults } from "../../src/remote/with-faults.ts";
import { Database } from "../../vfs/index.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { wantsMore } from "../more.ts";
import { removeTemporary, temporary } from "../node/block-child.ts";
import { bundleWorker } from "../vfs/bundle.ts";
import { countdown } from "./countdown.ts";
import { openHeld } from "./held-worker.ts";
import { commitOf, expectCommit, HISTORY_SCHEMA, History, makeCommit } from "./history.ts";

const history = new History();
const random = seededRandom(testSeed);
let workerUrl: URL;
let dyingUrl: URL;

beforeAll(async () => {
  workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
  dyingUrl = await bundleWorker("test/sql-sim/dying-worker.ts");
});
afterAll(removeTemporary);

const ENDED = {
  code: "unavailable",
  message: expect.stringMatching(/ended unexpectedly; open the database again/),
};

/** Copies of a store with the bank and of a local directory on it, which are made once. */
async function founded(): Promise<{ store: MemoryObjectStore; local: { path: string } }> {
  founding ??= found();
  const { store, local } = await founding;
  const copy = { path: temporary() };
  fs.cpSync(local.path, copy.path, { recursive: true });
  return { store: store.clone(), local: copy };
}

let founding: ReturnType<typeof found> | undefined;

async function found(): Promise<{ store: MemoryObjectStore; local: { path: string } }> {
  const store = new MemoryObjectStore();
  const local = { path: temporary() };
  const database = await Database.open(store, "bank", { create: true, local, workerUrl });
  await database.exec(HISTORY_SCHEMA);
  await database.push();
  await database.close();
  return { store, local };
}

/** Commits one after the other until that fails; answers the last that was acknowledged. */
async function commitUntilItFails(
  database: Database,
  from: number,
  acknowledged: () => void = () => {},
): Promise<number> {
  for (let n = from; ; n++) {
    try {
      await database.transaction((transaction) => makeCommit(transaction, history, n + 1));
      acknowledged();
    } catch (error) {
      expect(error).toMatchObject(ENDED);
      return n;
    }
  }
}

/** A database that shows commit `n` or the one after it; answers which. */
async function reopened(store: ObjectStore, local: { path: string }, n: number): Promise<number> {
  const database = await Database.open(store, "bank", { local, workerUrl });
  try {
    const shown = await commitOf(database);
    expect([n, n + 1], "invariants 2 and 3").toContain(shown);
    await expectCommit(database, history, shown);
    return shown;
  } finally {
    await database.close();
  }
}

describe("invariants 2 and 3 when the worker ends", { timeout: 240_000 }, () => {
  it("terminated at random moments, opened again at once", async () => {
    const { store, local } = await founded();
    let n = 0;
    for (let round = 0; round < 4; round++) {
      const { database, worker } = await openHeld(store, "bank", { local, workerUrl });
      let working: Promise<number> | undefined;
      await new Promise<void>((resolve) => {
        working = commitUntilItFails(database, n, resolve);
      });
      await systemRuntime.sleep(random() * 100);
      await worker.terminate();
      n = await reopened(store, local, await working!);
      await database.close();
    }
    expect(n).toBeGreaterThanOrEqual(4);
  });

  it("everything that waits is told, later calls too, and close works", async () => {
    const { store, local } = await founded();
    const { database, worker } = await openHeld(store, "bank", { local, workerUrl });
    const view = await database.at(1);
    const rows = database.iterate("SELECT a.id FROM accounts a, accounts b, accounts c");
    await rows.next();
    const live = database.live("SELECT n FROM progress");
    await live.next();
    const endless = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";
    const waiting = Promise.allSettled([
      live.next(),
      database.query(endless),
      database.query("SELECT 1"),
      database.transaction(async () => {}),
    ]);
    // A worker that can be suspended may get to these.
    const beside = Promise.allSettled([database.push(), view.query("SELECT 1")]);
    await systemRuntime.sleep(50);
    await worker.terminate();
    for (const each of await waiting) expect(each).toMatchObject({ status: "rejected", reason: ENDED });
    for (const each of await beside) if (each.status === "rejected") expect(each.reason).toMatchObject(ENDED);
    await expect(database.query("SELECT 1")).rejects.toMatchObject(ENDED);
    await expect(database.status()).rejects.toMatchObject(ENDED);
    await expect(view.query("SELECT 1")).rejects.toMatchObject(ENDED);
    await expect(
      (async () => {
        for await (const _ of rows);
      })(),
    ).rejects.toMatchObject(ENDED);
    await Promise.all([database.close(), database.close()]);
    await expect(database.query("SELECT 1")).rejects.toMatchObject({ code: "closed" });
    await reopened(store, local, 0);
  });

  it("leaves no temporary files behind", async () => {
    const { store, local } = await founded();
    const before = process.env.TMPDIR;
    const directory = temporary();
    process.env.TMPDIR = directory;
    try {
      for (const options of [{ workerUrl }, { workerUrl, local }]) {
        const { database, worker } = await openHeld(store, "bank", { ...options, tempBytes: 65_536 });
        // A sort that spills.
        const sort = database.iterate(
          "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 100000) SELECT hex(i * 7919) AS x FROM s ORDER BY x",
        );
        await sort.next();
        await worker.terminate();
        await database.close();
      }
    } finally {
      process.env.TMPDIR = before;
      if (before === undefined) delete process.env.TMPDIR;
    }
    expect(fs.readdirSync(directory)).toEqual([]);
    expect(fs.readdirSync(local.path)).not.toContain("temp");
  });

  it("exits in the middle of a write: every write of a few transactions", async () => {
    const { store, local } = await founded();
    let n = 0;
    for (let write = 1; write <= (wantsMore ? 6 : 4); write++) {
      const left = countdown();
      const { database } = await openHeld(store, "bank", { local, workerUrl: dyingUrl });
      left[0] = write;
      n = await reopened(store, local, await commitUntilItFails(database, n));
      await database.close();
    }
  });

  it("exits in the middle of a VACUUM", async () => {
    const { store, local } = await founded();
    const before = await Database.open(store, "bank", { local, workerUrl });
    await before.exec(`CREATE TABLE big AS WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 800)
      SELECT i, hex(randomblob(1000)) AS filler FROM s; DELETE FROM big WHERE i % 3 > 0`);
    const [{ pageCount }, { byteLength }] = [await before.status(), await before.status()];
    await before.close();
    for (const write of [1, 2]) {
      const left = countdown();
      // So small that the transaction spills into the log before it commits.
      const settings = { transactionBytes: 64 * 1024 };
      const { database } = await openHeld(store, "bank", { local, workerUrl: dyingUrl, settings });
      left[0] = write;
      await expect(database.exec("VACUUM")).rejects.toMatchObject(ENDED);
      await reopened(store, local, 0);
    }
    const after = await Database.open(store, "bank", { local, workerUrl });
    expect(await after.status()).toMatchObject({ pageCount, byteLength });
    await after.exec("VACUUM");
    expect((await after.status()).pageCount).toBeLessThan(pageCount);
    await after.close();
    await reopened(store, local, 0);
  });

  it("terminated in the middle of a push: it is in the log once", async () => {
    const { store, local } = await founded();
    for (const kind of ["before", "after"] as const) {
      let inPush: () => void = () => {};
      const pushing = new Promise<void>((resolve) => {
        inPush = resolve;
      });
      // The commit is created, or is not, and nobody is told.
      const never = new Promise<never>(() => {});
      const hanging = withFaults(store, () => undefined, { runtime: systemRuntime });
      const put: ObjectStore["put"] = async (key, ...rest) => {
        if (!key.includes("/commits/")) return hanging.put(key, ...rest);
        if (kind === "after") await hanging.put(key, ...rest);
        inPush();
        return never;
      };
      const { database, worker } = await openHeld({ ...hanging, put }, "bank", { local, workerUrl });
      const { lsn } = await database.status();
      const n = (await commitOf(database)) + 1;
      await database.transaction((transaction) => makeCommit(transaction, history, n));
      const pushed = expect(database.push()).rejects.toMatchObject(ENDED);
      await pushing;
      await worker.terminate();
      await pushed;
      const again = await Database.open(store, "bank", { local, workerUrl });
      expect(await again.status()).toMatchObject({ lsn, ahead: 1, pendingPush: true });
      expect(await again.push()).toMatchObject({ outcome: "pushed", lsn: lsn + 1, commits: 1, ahead: 0 });
      expect(await again.status()).toMatchObject({ lsn: lsn + 1, state: "clean", pendingPush: false });
      await expectCommit(again, history, n);
      await again.close();
    }
  });
});
