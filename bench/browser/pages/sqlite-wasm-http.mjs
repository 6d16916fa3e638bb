/** sqlite-wasm-http as its README says; the page is cross-origin isolated, so that it takes its better backend. */
import { createHttpBackend, createSQLiteThread } from "sqlite-wasm-http";

window.openIt = async () => {
  const http = createHttpBackend({ maxPageSize: 4096, timeout: 30_000, cacheSize: 65_536 });
  const db = await createSQLiteThread({ http });
  await db("open", { filename: `file:${encodeURI(`${location.origin}/data/social.sqlite`)}`, vfs: "http" });
  return {
    query: async (sql) => {
      const rows = [];
      await db("exec", {
        sql,
        callback: ({ row, columnNames }) => {
          if (row) rows.push(Object.fromEntries(columnNames.map((name, i) => [name, row[i]])));
        },
      });
      return rows;
    },
    close: () => db.close(),
  };
};
window.ready = true;
