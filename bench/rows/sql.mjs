/**
 * SQL workloads through the VFS, over a volume of its own in memory, against `memdb`, the VFS of the same wasm that keeps the database in the wasm
 * heap. Both run the same statements through the bare functions of the wasm, so that the VFS is what is measured.
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { inPairs } from "../lib/measure.mjs";
import { load, pairs, seededBelow } from "../lib/setup.mjs";

const rowsBulk = 200_000;
const transactionsSmall = 10_000;
const selects = 100_000;
const ranges = 2_000;

export async function sqlRows() {
  const { PageStore, MemoryObjectStore } = await load("index");
  const { installPagefoldVfs, ResidentOnlyBridge } = await load("vfs");
  const sqlite3 = await sqlite3InitModule();
  const settings = { memoryBytes: 512 * 2 ** 20, durability: "relaxed" };
  const store = await PageStore.open({ remote: new MemoryObjectStore(), settings });
  const vfs = installPagefoldVfs(sqlite3, store, { name: "pagefold-sql", bridge: new ResidentOnlyBridge() });
  let serial = 0;
  /** A new database of each kind. */
  const fresh = async () => {
    const tag = `sql-${++serial}`;
    const volume = await store.createVolume({ tag });
    return {
      ours: workload(sqlite3, `file:/${tag}?vfs=pagefold-sql`),
      reference: workload(sqlite3, `file:/${tag}-memdb?vfs=memdb`),
      volume,
    };
  };
  const rows = [];
  const add = async (row, limit, { prepare, run, pairs: count = pairs }) => {
    const measured = await inPairs({
      pairs: count,
      warmUp: 1,
      ours: async (i) => run(await prepare("ours", i)),
      reference: async (i) => run(await prepare("reference", i)),
    });
    rows.push({ row, against: "memdb of the same wasm", unit: "ms", limit, ...measured });
  };

  // Each pair writes into databases of its own.
  const writing = (run) => {
    const open = new Map();
    return {
      prepare: async (kind, i) => {
        if (!open.has(i)) open.set(i, await fresh());
        return open.get(i)[kind];
      },
      run: (work) => {
        const ms = run(work);
        work.close();
        return ms;
      },
    };
  };
  await add(
    `bulk insert of ${rowsBulk} rows, one transaction`,
    1.25,
    writing((work) => work.bulkInsert()),
  );
  await add(
    `${transactionsSmall} small transactions, relaxed`,
    1.25,
    writing((work) => work.smallTransactions()),
  );

  const { ours, reference, volume } = await fresh();
  for (const work of [ours, reference]) work.fill();
  await volume.push();
  const reading = (run) => ({ prepare: async (kind) => (kind === "ours" ? ours : reference), run });
  for (const { cache, name } of [
    { cache: 20_000, name: "warm" },
    { cache: 10, name: "10-page cache" },
  ]) {
    for (const work of [ours, reference]) work.cache(cache);
    await add(
      `${selects} point selects, ${name}, one transaction`,
      1.25,
      reading((work) => work.points(true)),
    );
    await add(
      `${selects} point selects, ${name}, autocommit`,
      2,
      reading((work) => work.points(false)),
    );
  }
  for (const work of [ours, reference]) work.cache(2000);
  await add(
    `${ranges} index ranges of 50 rows`,
    1.25,
    reading((work) => work.ranges()),
  );
  await add(
    "full scan of 100 MB",
    1.25,
    reading((work) => work.scan()),
  );
  if (ours.check() !== reference.check()) throw new Error("the two databases differ");
  ours.close();
  reference.close();
  vfs.dispose();
  await store.close();
  return rows;
}

/** The workloads on one connection; each answers the milliseconds that it took. */
function workload(sqlite3, name) {
  const { capi, wasm } = sqlite3;
  const {
    sqlite3_bind_int,
    sqlite3_step,
    sqlite3_column_int,
    sqlite3_reset,
    sqlite3_bind_text,
    sqlite3_bind_double,
  } = wasm.exports;
  const db = new sqlite3.oo1.DB(name, "c");
  db.exec("PRAGMA page_size=4096; PRAGMA journal_mode=TRUNCATE");
  const text = "The quick brown fox jumps over the lazy dog, ".repeat(5);
  const pText = wasm.allocCString(text);
  const timed = (work) => {
    const start = performance.now();
    work();
    return performance.now() - start;
  };
  const each = (sql, count, bind) => {
    const statement = db.prepare(sql);
    let sum = 0;
    for (let i = 0; i < count; i++) {
      bind(statement.pointer, i);
      let code = sqlite3_step(statement.pointer);
      for (; code === capi.SQLITE_ROW; code = sqlite3_step(statement.pointer))
        sum += sqlite3_column_int(statement.pointer, 0);
      if (code !== capi.SQLITE_DONE) throw new Error(`step answered ${code}`);
      sqlite3_reset(statement.pointer);
    }
    statement.finalize();
    return sum;
  };
  const most = 400_000;
  return {
    bulkInsert: () => {
      db.exec("CREATE TABLE t(i INTEGER PRIMARY KEY, a INT, b REAL, s TEXT); CREATE INDEX ta ON t(a)");
      return timed(() => {
        db.exec("BEGIN");
        each("INSERT INTO t VALUES(?, ?, ?, ?)", rowsBulk, (p, i) => {
          sqlite3_bind_int(p, 1, i);
          sqlite3_bind_int(p, 2, (i * 7919) % rowsBulk);
          sqlite3_bind_double(p, 3, i / 3);
          sqlite3_bind_text(p, 4, pText, 100, 0);
        });
        db.exec("COMMIT");
      });
    },
    smallTransactions: () => {
      db.exec("CREATE TABLE t(i INTEGER PRIMARY KEY, a INT, s TEXT); CREATE INDEX ta ON t(a)");
      return timed(() =>
        each("INSERT INTO t VALUES(?, ?, ?)", transactionsSmall, (p, i) => {
          sqlite3_bind_int(p, 1, i);
          sqlite3_bind_int(p, 2, (i * 7919) % transactionsSmall);
          sqlite3_bind_text(p, 3, pText, 100, 0);
        }),
      );
    },
    /** About 100 MB. */
    fill: () => {
      db.exec("CREATE TABLE t(i INTEGER PRIMARY KEY, a INT, s TEXT); CREATE INDEX ta ON t(a); BEGIN");
      each("INSERT INTO t VALUES(?, ?, ?)", most, (p, i) => {
        sqlite3_bind_int(p, 1, i);
        sqlite3_bind_int(p, 2, (i * 7919) % most);
        sqlite3_bind_text(p, 3, pText, 224, 0);
      });
      db.exec("COMMIT");
    },
    cache: (pages) => db.exec(`PRAGMA cache_size=${pages}`),
    points: (together) => {
      const below = seededBelow(9);
      return timed(() => {
        if (together) db.exec("BEGIN");
        each("SELECT a FROM t WHERE i = ?", selects, (p) => sqlite3_bind_int(p, 1, below(most)));
        if (together) db.exec("COMMIT");
      });
    },
    ranges: () => {
      const below = seededBelow(10);
      return timed(() =>
        each("SELECT length(s) FROM t WHERE a >= ? ORDER BY a LIMIT 50", ranges, (p) =>
          sqlite3_bind_int(p, 1, below(most)),
        ),
      );
    },
    scan: () => timed(() => each("SELECT sum(length(s)) FROM t", 1, () => {})),
    check: () => db.selectValue("SELECT sum(i) + sum(a) + sum(length(s)) FROM t"),
    close: () => {
      wasm.dealloc(pText);
      db.close();
    },
  };
}
