/**
 * Workloads on native SQLite files, in a process of Node 24 (`node:sqlite`) or with a peer that `npm run bench:setup` has installed; prints the
 * milliseconds of each as JSON.
 *
 *   native-sqlite.mjs (node:sqlite|better-sqlite3|node-sqlite3-wasm) FILE WORKLOAD…
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { workloads } from "../data/workloads.mjs";

const [library, file, ...wanted] = process.argv.slice(2);
const db = await open(library, file);
const figures = {};
for (const name of wanted) {
  const { prepare, run } = workloads[name];
  prepare?.(db);
  const start = performance.now();
  run(db);
  figures[name] = performance.now() - start;
}
db.close();
console.log(JSON.stringify(figures));

/** One face for all libraries: `exec`, and `prepare` → `{ run(...), all(...), get(...) }`. */
async function open(name, path) {
  if (name === "node:sqlite") {
    const { DatabaseSync } = await import("node:sqlite");
    return new DatabaseSync(path);
  }
  const require = createRequire(
    join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../.data/peers/package.json"),
  );
  if (name === "better-sqlite3") return new (require("better-sqlite3"))(path);
  const { Database } = require("node-sqlite3-wasm");
  const wasm = new Database(path);
  return {
    exec: (sql) => wasm.exec(sql),
    prepare: (sql) => {
      const statement = wasm.prepare(sql);
      return {
        run: (...values) => statement.run(values),
        all: (...values) => statement.all(values),
        get: (...values) => statement.get(values),
      };
    },
    close: () => wasm.close(),
  };
}
