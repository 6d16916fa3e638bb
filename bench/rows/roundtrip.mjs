/** A one-row query through `Database` in its worker, against a bare round trip of a message to a worker and back. */
import { Worker } from "node:worker_threads";
import { inBlocks } from "../lib/measure.mjs";
import { load } from "../lib/setup.mjs";

const pairs = 25;
const operations = 400;

export async function roundtripRows() {
  const { MemoryObjectStore } = await load("index");
  const { Database } = await load("vfs");
  const store = new MemoryObjectStore();
  const db = await Database.open(store, "bench", { create: true });
  await db.exec("CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); INSERT INTO t VALUES (1, 'one')");
  const echo = new Worker(
    `const { parentPort } = require("node:worker_threads");
     parentPort.once("message", ({ port }) => port.on("message", (message) => port.postMessage(message)));`,
    { eval: true },
  );
  const { port1, port2 } = new MessageChannel();
  echo.postMessage({ port: port2 }, [port2]);
  let answered = () => {};
  port1.onmessage = ({ data }) => answered(data);
  let id = 0;
  const bare = () =>
    new Promise((resolve) => {
      answered = resolve;
      port1.postMessage({
        id: ++id,
        kind: "echo",
        request: { sql: "SELECT s FROM t WHERE i = ?", parameters: [1] },
      });
    });
  const measured = await inBlocks({
    pairs,
    warmUp: 5,
    operations,
    ours: async () => {
      for (let i = 0; i < operations; i++) {
        const [row] = await db.query("SELECT s FROM t WHERE i = ?", [1]);
        if (row.s !== "one") throw new Error("another row than was written");
      }
    },
    reference: async () => {
      for (let i = 0; i < operations; i++) await bare();
    },
  });
  port1.close();
  await echo.terminate();
  await db.close();
  return [
    {
      row: "one-row query through the worker",
      against: "bare postMessage round trip",
      unit: "µs",
      limit: 2,
      ...measured,
    },
  ];
}
