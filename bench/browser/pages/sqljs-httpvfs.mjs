/** sql.js-httpvfs as its README says: one file, chunks of the page size. */
import { createDbWorker } from "sql.js-httpvfs";

window.openIt = async () => {
  const { db, worker } = await createDbWorker(
    [
      {
        from: "inline",
        config: { serverMode: "full", url: "/data/social.sqlite", requestChunkSize: 4096 },
      },
    ],
    new URL("sql.js-httpvfs/dist/sqlite.worker.js", import.meta.url).toString(),
    new URL("sql.js-httpvfs/dist/sql-wasm.wasm", import.meta.url).toString(),
  );
  return { query: (sql) => db.query(sql), close: async () => worker };
};
window.ready = true;
