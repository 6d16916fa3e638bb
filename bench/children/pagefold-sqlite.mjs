/** The workloads of native-sqlite.mjs on a volume with a local directory: pagefold-sqlite.mjs DIRECTORY WORKLOAD… */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { workloads } from "../data/workloads.mjs";
import { load } from "../lib/setup.mjs";

const [directory, ...wanted] = process.argv.slice(2);
const { openStore } = await load("node");
const { installPagefoldVfs, ResidentOnlyBridge } = await load("vfs");
const store = await openStore("memory:", { local: directory, workers: 0 });
await store.createVolume({ tag: "bench" });
const sqlite3 = await sqlite3InitModule();
const vfs = installPagefoldVfs(sqlite3, store, { bridge: new ResidentOnlyBridge() });
const db = faceOf(new sqlite3.oo1.DB("file:/bench?vfs=pagefold", "c"));
db.exec("PRAGMA page_size=4096; PRAGMA journal_mode=TRUNCATE");
const figures = {};
for (const name of wanted) {
  const { prepare, run } = workloads[name];
  prepare?.(db);
  const start = performance.now();
  run(db);
  figures[name] = performance.now() - start;
}
db.close();
vfs.dispose();
await store.close();
console.log(JSON.stringify(figures));

/** `exec` and `prepare` as the other libraries have them. */
function faceOf(db) {
  const statements = [];
  const bound = (statement, values) => (values.length === 0 ? statement : statement.bind(values));
  return {
    exec: (sql) => db.exec(sql),
    prepare: (sql) => {
      const statement = db.prepare(sql);
      statements.push(statement);
      const rows = (values, most) => {
        bound(statement, values);
        const found = [];
        while (found.length < most && statement.step()) found.push(statement.get([]));
        statement.reset();
        return found;
      };
      return {
        run: (...values) => bound(statement, values).stepReset(),
        get: (...values) => rows(values, 1)[0],
        all: (...values) => rows(values, Number.POSITIVE_INFINITY),
      };
    },
    close: () => {
      for (const statement of statements) statement.finalize();
      db.close();
    },
  };
}
