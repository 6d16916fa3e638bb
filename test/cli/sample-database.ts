/** Small SQLite databases for the tests of the command, made by the engine's own SQLite in memory. */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";

export interface SampleOptions {
  readonly pageSize?: number;
  readonly rows?: number;
}

/**
 * A database of two tables: `items(id, name, price, body)` with an index on name, and `tags(item, tag)`. The rows follow from
 * their number alone.
 */
export async function sampleDatabase({
  pageSize = 4096,
  rows = 2000,
}: SampleOptions = {}): Promise<Uint8Array> {
  const sqlite3 = await sqlite3InitModule();
  const db = new sqlite3.oo1.DB(":memory:");
  try {
    db.exec(`
      PRAGMA page_size = ${pageSize};
      CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price REAL, body BLOB);
      CREATE TABLE tags (item INTEGER, tag TEXT);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
        INSERT INTO items SELECT i, 'item-' || printf('%06d', (i * 7919) % 1000003), i * 0.25, CAST(printf('%.*c', 100, 'x') AS BLOB) FROM n;
      INSERT INTO tags SELECT id, 'tag-' || (id % 10) FROM items WHERE id % 3 = 0;
      CREATE INDEX items_name ON items (name);
      CREATE INDEX tags_item ON tags (item);
      INSERT INTO items VALUES (1000000, NULL, 9e999, x'00ff10');
      INSERT INTO items VALUES (9223372036854775807, 'last', -1.5, NULL);
    `);
    return sqlite3.capi.sqlite3_js_db_export(db);
  } finally {
    db.close();
  }
}
