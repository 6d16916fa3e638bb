/** A database of about a megabyte with a table and an index, and what is asked of it. */
import { buildDatabase } from "./sqlite.ts";

export const COUNT = "SELECT count(*) AS n, sum(length(s)) AS bytes FROM t";
export const ENDLESS =
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) AS n FROM c";

const made = new Map<number, Promise<Uint8Array>>();

export function sampleDatabase(rows = 8000): Promise<Uint8Array> {
  let bytes = made.get(rows);
  if (bytes === undefined) {
    bytes =
      buildDatabase(`PRAGMA page_size = 4096; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); CREATE INDEX ti ON t(s);
        WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${rows})
        INSERT INTO t SELECT i, printf('%08x', i * 2654435761 % 4294967296) || hex(zeroblob(40)) FROM c`);
    made.set(rows, bytes);
  }
  return bytes;
}
