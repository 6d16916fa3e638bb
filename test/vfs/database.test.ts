/** SQL through the real engine in a real worker thread: what users of `Database` rely on. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import type { ByteSource } from "../../src/file/import.ts";
import { openStore } from "../../src/node/index.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { GetOptions, ObjectStore } from "../../src/remote/object-store.ts";
import { Database, type DatabaseOptions } from "../../vfs/index.ts";
import { bundleWorker } from "./bundle.ts";
import { buildDatabase, memdbRows } from "./sqlite.ts";

const COUNT = "SELECT count(*), sum(length(s)) FROM t";
const ENDLESS = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";
const databaseOf = (rows: number): Promise<Uint8Array> =>
  buildDatabase(`PRAGMA page_size = 4096; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); CREATE INDEX ti ON t(s);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${rows})
    INSERT INTO t SELECT i, printf('%08x', i * 2654435761 % 4294967296) || hex(zeroblob(40)) FROM c`);

let workerUrl: URL;
let bytes: Uint8Array;
const closers: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
  bytes = await databaseOf(8000);
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A memory store whose gets a test can watch, delay or fail. */
class TestStore implements ObjectStore {
  readonly #memory = new MemoryObjectStore();
  readonly url = this.#memory.url;
  readonly capabilities = this.#memory.capabilities;
  gets = 0;
  onGet: (key: string, options: GetOptions) => Promise<void> | void = () => {};

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> {
    this.gets++;
    await this.onGet(key, options);
    return this.#memory.get(key, options);
  }
  put(...args: Parameters<ObjectStore["put"]>) {
    return this.#memory.put(...args);
  }
  list(...args: Parameters<ObjectStore["list"]>) {
    return this.#memory.list(...args);
  }
  delete(...args: Parameters<ObjectStore["delete"]>) {
    return this.#memory.delete(...args);
  }
  close() {
    return this.#memory.close();
  }
}

function source(content: Uint8Array): ByteSource {
  return {
    name: "memory",
    size: content.length,
    check: async () => {},
    read: async (offset, into) => {
      const part = content.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
  };
}

/** Imports into the volume tagged "db", which is made where there is none. */
async function importInto(store: ObjectStore, content: Uint8Array): Promise<void> {
  const pages = await openStore(store, { workers: 0 });
  try {
    const known = await pages.resolve("db");
    const volume = known === undefined ? await pages.createVolume({ tag: "db" }) : await pages.volume(known);
    await volume.import(source(content));
  } finally {
    await pages.close();
  }
}

async function openDatabase(
  store: DatabaseOptions["store"],
  more: Partial<DatabaseOptions> = {},
): Promise<Database> {
  const database = await Database.open({ store, name: "db", workerUrl, ...more });
  closers.push(() => database.close());
  return database;
}

async function storeWithDatabase(): Promise<TestStore> {
  const store = new TestStore();
  await importInto(store, bytes);
  return store;
}

function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "pagefold-sql-"));
  closers.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const failure = (code: string, message: RegExp = /./): unknown =>
  expect.objectContaining({ name: "PagefoldError", code, message: expect.stringMatching(message) });

describe("queries", () => {
  it("give the rows that SQLite gives, and fetch only what they touch", async () => {
    const store = await storeWithDatabase();
    const importGets = store.gets;
    const recorder = new MemoryRecorder();
    const database = await openDatabase(store, { recorder });
    const point = await database.query("SELECT s FROM t WHERE i = ?", [4321]);
    expect(point.rows).toEqual(await memdbRows(bytes, "SELECT s FROM t WHERE i = 4321"));
    expect(point.columns).toEqual(["s"]);
    expect(point.stats.faults).toBeGreaterThan(0);
    expect(point.stats.requests).toBeGreaterThan(0);
    const again = await database.query("SELECT s FROM t WHERE i = :i", { i: 4321 });
    expect(again.stats).toMatchObject({ faults: 0, requests: 0, bytesFetched: 0 });
    const partly = await database.stats();
    expect(partly).toMatchObject({ lsn: 1, pageSize: 4096, pageCount: bytes.length / 4096 });
    expect(partly.residentPages).toBeLessThan(partly.pageCount);
    expect((await database.query(COUNT)).rows).toEqual(await memdbRows(bytes, COUNT));
    const all = await database.stats();
    expect(all.requests).toBeGreaterThan(partly.requests);
    expect(all.bytesFetched).toBeGreaterThan(partly.bytesFetched);
    expect(all.ms).toBeGreaterThan(0);
    expect(recorder.get("remote.get.count")).toBe(store.gets - importGets);
    expect(recorder.get("sql.fault.count")).toBe(all.faults);
  });

  it("answer in order when many are asked at once; values keep their kind", async () => {
    const database = await openDatabase(await storeWithDatabase());
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => database.query("SELECT ? + 1", [i])),
    );
    expect(answers.map(({ rows }) => rows[0]?.[0])).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    const values = [null, -1.5, 2n ** 60n, "日本\0", new Uint8Array([0, 255])];
    expect((await database.query("SELECT ?, ?, ?, ?, ?", values)).rows).toEqual([values]);
  });

  it("that write are invalid, wrong SQL too, and the database goes on", async () => {
    const database = await openDatabase(await storeWithDatabase());
    await expect(database.query("DELETE FROM t")).rejects.toEqual(failure("invalid", /read-only here/));
    await expect(database.query("SELEC")).rejects.toEqual(failure("invalid", /syntax error/));
    await expect(database.query("SELECT ?", [Symbol() as never])).rejects.toEqual(
      failure("invalid", /parameters/),
    );
    await expect(database.query("SELECT ?", [new Date() as never])).rejects.toEqual(
      failure("invalid", /Date/),
    );
    expect((await database.query("SELECT 1")).rows).toEqual([[1]]);
  });
});

describe("faults that fail", () => {
  it("unavailable and corrupt come out as they are, and the database goes on", async () => {
    const store = await storeWithDatabase();
    const database = await openDatabase(store);
    store.onGet = () => {
      throw new PagefoldError("unavailable", "the cable was cut", { retryable: false });
    };
    await expect(database.query(COUNT)).rejects.toEqual(failure("unavailable", /cable/));
    store.onGet = () => {};
    expect((await database.query(COUNT)).rows).toEqual(await memdbRows(bytes, COUNT));
  });

  it("a store that fails now and then is asked again", async () => {
    const store = await storeWithDatabase();
    const database = await openDatabase(store);
    let calls = 0;
    store.onGet = () => {
      if (++calls % 3 === 1) throw new PagefoldError("unavailable", "try again");
    };
    expect((await database.query(COUNT)).rows).toEqual(await memdbRows(bytes, COUNT));
  });

  it("a store that never answers ends the query in time", async () => {
    const store = await storeWithDatabase();
    const database = await openDatabase(store, { faultTimeoutMs: 200 });
    store.onGet = () => new Promise(() => {});
    await expect(database.query(COUNT)).rejects.toEqual(failure("unavailable", /200 ms/));
    store.onGet = () => {};
    expect((await database.query(COUNT)).rows[0]?.[0]).toBe(8000);
  });
});

describe("signals", () => {
  it("interrupt a query that computes, one that waits for pages, and one that waits for its turn", async () => {
    const store = await storeWithDatabase();
    const database = await openDatabase(store);
    const computing = new AbortController();
    setTimeout(() => computing.abort(), 30);
    const queued = new AbortController();
    const results = await Promise.allSettled([
      database.query(ENDLESS, [], { signal: computing.signal }),
      database.query("SELECT 1", { signal: queued.signal }),
      (async () => queued.abort())(),
    ]);
    for (const result of results.slice(0, 2)) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "aborted" } });
    }
    const waiting = new AbortController();
    store.onGet = (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
        waiting.abort();
      });
    await expect(database.query(COUNT, { signal: waiting.signal })).rejects.toEqual(failure("aborted"));
    store.onGet = () => {};
    expect((await database.query(COUNT)).rows[0]?.[0]).toBe(8000);
    await expect(database.query("SELECT 1", { signal: AbortSignal.abort() })).rejects.toEqual(
      failure("aborted"),
    );
  });

  it("end an opening that waits, and leave the local directory free", async () => {
    const store = await storeWithDatabase();
    const local = { path: temporaryDirectory() };
    const controller = new AbortController();
    store.onGet = (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
        controller.abort();
      });
    await expect(openDatabase(store, { local, signal: controller.signal })).rejects.toEqual(
      failure("aborted"),
    );
    store.onGet = () => {};
    const database = await openDatabase(store, { local });
    expect((await database.query("SELECT 1")).rows).toEqual([[1]]);
  });
});

describe("versions", () => {
  it("a pull is seen by the next query; an LSN asked for stays", async () => {
    const store = await storeWithDatabase();
    const following = await openDatabase(store);
    expect((await following.query(COUNT)).rows[0]?.[0]).toBe(8000);
    await importInto(store, await databaseOf(9000));
    expect((await following.query(COUNT)).rows[0]?.[0]).toBe(8000);
    expect(await following.pull()).toEqual({ lsn: 2 });
    expect((await following.query(COUNT)).rows[0]?.[0]).toBe(9000);
    expect((await following.query("PRAGMA integrity_check")).rows).toEqual([["ok"]]);
    const fixed = await openDatabase(store, { lsn: 1 });
    expect((await fixed.query(COUNT)).rows[0]?.[0]).toBe(8000);
    await expect(fixed.pull()).rejects.toEqual(failure("invalid", /LSN 1/));
    await expect(openDatabase(store, { lsn: 7 })).rejects.toEqual(failure("not_found"));
  });

  it("a transaction keeps its snapshot across a pull", async () => {
    const store = await storeWithDatabase();
    const database = await openDatabase(store);
    await database.query(`BEGIN; ${COUNT}`);
    await importInto(store, await databaseOf(9000));
    await database.pull();
    expect((await database.query(COUNT)).rows[0]?.[0]).toBe(8000);
    await database.query("COMMIT");
    expect((await database.query(COUNT)).rows[0]?.[0]).toBe(9000);
  });
});

describe("local state", () => {
  it("is found by the next run, which needs neither request nor store for what is resident", async () => {
    const store = await storeWithDatabase();
    const local = { path: temporaryDirectory() };
    const first = await openDatabase(store, { local });
    const rows = (await first.query("SELECT s FROM t WHERE i = 4321")).rows;
    await first.close();
    const second = await openDatabase({ url: join(local.path, "no-such-store") }, { local });
    const answer = await second.query("SELECT s FROM t WHERE i = 4321");
    expect(answer.rows).toEqual(rows);
    expect(await second.stats()).toMatchObject({ requests: 0, faults: 0, bytesFetched: 0 });
    await expect(second.query(COUNT)).rejects.toEqual(failure("unavailable", /cannot be reached/));
    expect((await second.query("SELECT s FROM t WHERE i = 4321")).rows).toEqual(rows);
    await expect(openDatabase(store, { local })).rejects.toEqual(failure("busy"));
  });
});

describe("what cannot be opened", () => {
  it("an unknown name is not_found, and says which tags exist", async () => {
    await expect(openDatabase(await storeWithDatabase(), { name: "nope" })).rejects.toEqual(
      failure("not_found", /\bdb\b/),
    );
  });

  it("a volume with something else in it, or with nothing, is invalid", async () => {
    const other = new MemoryObjectStore();
    await importInto(other, new Uint8Array(10_000).fill(65));
    await expect(openDatabase(other)).rejects.toEqual(failure("invalid", /no SQLite database/));
    const empty = new MemoryObjectStore();
    await importInto(empty, new Uint8Array(0));
    await expect(openDatabase(empty)).rejects.toEqual(failure("invalid", /empty/));
  });

  it("a store that is not there is not_found without local state", async () => {
    await expect(openDatabase({ url: "/no/such/directory" })).rejects.toEqual(failure("not_found"));
  });
});

describe("a worker that dies", () => {
  it("while opening: unavailable, with the cause", async () => {
    const store = await storeWithDatabase();
    const script = (code: string) => new URL(`data:text/javascript,${encodeURIComponent(code)}`);
    await expect(openDatabase(store, { workerUrl: script("process.exit(3)") })).rejects.toEqual(
      failure("unavailable", /ended unexpectedly/),
    );
    const thrown = openDatabase(store, { workerUrl: script("throw new Error('at the start')") });
    await expect(thrown).rejects.toMatchObject({
      code: "unavailable",
      cause: expect.objectContaining({ message: "at the start" }),
    });
  });
});

describe("close", () => {
  it("is idempotent, interrupts what runs, and later calls are closed", async () => {
    const store = await storeWithDatabase();
    const database = await openDatabase(store);
    const running = expect(database.query(ENDLESS)).rejects.toEqual(failure("aborted"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    await Promise.all([database.close(), database.close()]);
    await running;
    await expect(database.query("SELECT 1")).rejects.toEqual(failure("closed"));
    await expect(database.stats()).rejects.toEqual(failure("closed"));
    // The store was the caller's and is still open.
    expect(await store.get("nothing")).toBeUndefined();
  });
});
