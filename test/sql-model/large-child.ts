/**
 * A process of its own that makes a database, changes all of it in one transaction, vacuums and pushes it, with little memory. Prints a line of
 * JSON per phase; the peak of the process's memory only grows, so each line tells what its phase has added.
 */
import { Database } from "../../vfs/index.ts";

export interface Task {
  readonly directory: string;
  readonly workerUrl: string;
  readonly megabytes: number;
}

export interface Phase {
  readonly phase: string;
  readonly ms: number;
  /** Of the whole process so far: heap, buffers, wasm memory, code. */
  readonly peakRssBytes: number;
  readonly databaseBytes: number;
  readonly found?: unknown;
}

/** Of the last phase. */
export interface Findings {
  /** As many as there should be. */
  readonly rows: number;
  readonly counted: unknown;
  readonly byIndex: unknown;
  readonly integrity: unknown;
}

/** Bytes of one row with its share of the index. */
const ROW_BYTES = 1024;
/** Text of about 960 characters that a row's number and a salt decide. */
const text = (salt: number): string =>
  `replace(hex(zeroblob(60)), '0', printf('%08x', (i * 2654435761 + ${salt}) % 4294967296))`;

async function main({ directory, workerUrl, megabytes }: Task): Promise<void> {
  const mebibyte = 2 ** 20;
  const database = await Database.open({ url: `${directory}/store`, create: true }, "large", {
    create: true,
    workerUrl,
    local: { path: `${directory}/local` },
    tempBytes: 4 * mebibyte,
    settings: {
      memoryBytes: 8 * mebibyte,
      transactionBytes: 4 * mebibyte,
      compactAboveBytes: 16 * mebibyte,
    },
  });
  const phase = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    const start = performance.now();
    const found = await work();
    const { byteLength } = await database.status();
    const line: Phase = {
      phase: name,
      ms: Math.round(performance.now() - start),
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
      databaseBytes: byteLength,
      found,
    };
    console.log(JSON.stringify(line));
  };
  const rows = Math.round((megabytes * mebibyte) / ROW_BYTES);
  const run = (sql: string) => async () => void (await database.exec(sql));

  await phase(
    "open",
    run("PRAGMA cache_size = -4000; CREATE TABLE t(i INTEGER PRIMARY KEY, w TEXT, s TEXT)"),
  );
  await phase(
    "insert",
    run(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
      INSERT INTO t SELECT i, printf('%08x', i * 40503 % 65536 * 65536 + i % 65536), ${text(0)} FROM n`),
  );
  await phase("index", run("CREATE INDEX tw ON t(w)"));
  await phase("update all", run(`UPDATE t SET s = ${text(7)}`));
  await phase("roll back", run(`BEGIN; UPDATE t SET s = ${text(8)}; DELETE FROM t WHERE i > 10; ROLLBACK`));
  await phase("delete a third", run("DELETE FROM t WHERE i % 3 = 0"));
  await phase("vacuum", run("VACUUM"));
  await phase("push", () => database.push());
  await phase("check", async () => ({
    rows: rows - Math.floor(rows / 3),
    counted: await database.queryOne(`SELECT count(*) AS n, sum(s = ${text(7)}) AS right FROM t`),
    byIndex: await database.queryOne(
      "SELECT count(*) AS n, sum(length(w)) AS w FROM t INDEXED BY tw WHERE w > ''",
    ),
    integrity: await database.query("PRAGMA integrity_check"),
  }));
  await database.close();
}

await main(JSON.parse(process.argv[2] ?? ""));
