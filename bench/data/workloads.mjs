/** The SQL workloads for libraries that have their own way to run SQL: anything with `exec` and `prepare`. */
import { seededBelow } from "../lib/setup.mjs";

const text = "The quick brown fox jumps over the lazy dog, ".repeat(5);
const rows = 200_000;
const selects = 100_000;

const table = "(i INTEGER PRIMARY KEY, a INT, b REAL, s TEXT)";

export const workloads = {
  durable: {
    prepare: (db) => {
      db.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
      db.exec(`CREATE TABLE durable${table}; CREATE INDEX durable_a ON durable(a)`);
    },
    run: (db) => inserts(db, "durable", 1000),
  },
  small: {
    prepare: (db) => {
      db.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL");
      db.exec(`CREATE TABLE small${table}; CREATE INDEX small_a ON small(a)`);
    },
    run: (db) => inserts(db, "small", 10_000),
  },
  bulk: {
    prepare: (db) => db.exec(`CREATE TABLE bulk${table}; CREATE INDEX bulk_a ON bulk(a)`),
    run: (db) => {
      db.exec("BEGIN");
      inserts(db, "bulk", rows);
      db.exec("COMMIT");
    },
  },
  points: {
    run: (db) => {
      const below = seededBelow(9);
      const select = db.prepare("SELECT a FROM bulk WHERE i = ?");
      for (let i = 0; i < selects; i++) select.get(below(rows));
    },
  },
  ranges: {
    run: (db) => {
      const below = seededBelow(10);
      const select = db.prepare("SELECT length(s) FROM bulk WHERE a >= ? ORDER BY a LIMIT 50");
      for (let i = 0; i < 2000; i++) select.all(below(rows));
    },
  },
  scan: {
    run: (db) => db.prepare("SELECT sum(length(s)) FROM bulk").all(),
  },
};

function inserts(db, name, count) {
  const insert = db.prepare(`INSERT INTO ${name} VALUES(?, ?, ?, ?)`);
  for (let i = 0; i < count; i++) insert.run(i, (i * 7919) % count, i / 3, text.slice(0, 100));
}
