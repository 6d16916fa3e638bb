/**
 * Pagefold's main job on real input: a database is put into an object store by one process, tracked from an empty directory by a second, and
 * queried by a third that fetches only the pages it reads. Then another side, which has no page of it, writes through SQL and pushes; the replica
 * learns what changed and reads it. At the end the first version is exported, and its bytes are compared with the source.
 *
 *   npm start              the database of the npm package wordnet-sqlite (29 MB)
 *   npm start -- FILE      your own SQLite database; the queries are derived from its schema
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, open, rm, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const command = join(here, "../dist/cli.js");
const started = performance.now();

/** Runs a Node script to its end and answers with its stdout; its stderr goes to ours. `onLine` sees each line as it comes. */
function run(args, onLine) {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    let out = "";
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      out += text;
      if (onLine === undefined) return;
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      for (const line of lines) onLine(line);
    });
    child.on("error", failed);
    child.on("close", (code, signal) => {
      if (code === 0) done(out);
      else failed(new Error(`${basename(args[0])} ${args[1]} ended with ${signal ?? `code ${code}`}`));
    });
  });
}

const pagefold = async (...args) => JSON.parse(await run([command, ...args, "--json"]));

async function sha256(path) {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}

async function sameBytes(a, b) {
  if ((await stat(a)).size !== (await stat(b)).size) return false;
  const theirs = createReadStream(b, { highWaterMark: 1 << 20 })[Symbol.asyncIterator]();
  for await (const ours of createReadStream(a, { highWaterMark: 1 << 20 })) {
    const { value } = await theirs.next();
    if (value === undefined || !ours.equals(value)) return false;
  }
  return (await theirs.next()).done === true;
}

async function isDatabase(path) {
  const file = await open(path);
  try {
    const header = Buffer.alloc(16);
    await file.read(header, 0, 16, 0);
    return header.toString("latin1") === "SQLite format 3\0";
  } finally {
    await file.close();
  }
}

const columns = [
  { name: "query", width: 34 },
  { name: "rows", width: 8 },
  { name: "ms", width: 8 },
  { name: "faults", width: 7 },
  { name: "requests", width: 9 },
  { name: "KB fetched", width: 11 },
  { name: "share", width: 7 },
];
const tableLine = (cells) =>
  cells
    .map((cell, i) =>
      i === 0 ? String(cell).padEnd(columns[i].width) : String(cell).padStart(columns[i].width),
    )
    .join("");

/** One side writes a row and pushes, without having the database; the other learns the changed pages and reads the row. */
async function writeAndRead(store, local, pageCount) {
  const note = `written ${new Date().toISOString()}`;
  const insert =
    "CREATE TABLE IF NOT EXISTS pagefold_example (note TEXT); INSERT INTO pagefold_example VALUES (?)";
  const written = await pagefold("sql", "main", insert, "--param", note, "--store", store);
  const { push, stats } = written;
  console.log(
    `\nwrite     ${written.changes} row from another side, with ${stats.residentPages} of ${pageCount} pages at hand; pushed as LSN ${push.lsn}: ${push.changedPages} pages, ${push.storedBytes} B, ${stats.ms} ms`,
  );
  const pulled = await pagefold("pull", "main", "--store", store, "--local", local);
  console.log(
    `pull      LSN ${pulled.from} to ${pulled.to}: ${pulled.changedPages} changed pages, ${pulled.requests} requests`,
  );
  const select = "SELECT note FROM pagefold_example ORDER BY rowid DESC LIMIT 1";
  const read = await pagefold("sql", "main", select, "--store", store, "--local", local);
  if (read.rows[0]?.[0] !== note) throw new Error("the row that was written did not arrive");
  console.log(`read      the row has arrived, ${read.stats.requests} requests, ${read.stats.ms} ms`);
}

async function main(given) {
  const source =
    given === undefined
      ? join(dirname(createRequire(import.meta.url).resolve("wordnet-sqlite/package.json")), "wordnet.dict")
      : resolve(given);
  if (!(await isDatabase(source))) {
    throw new Error(`${source} is no SQLite database; for other files see pagefold import, read and export`);
  }
  const folder = await mkdtemp(join(tmpdir(), "pagefold-main-job-"));
  try {
    const [store, local, exported] = ["store", "replica", "exported"].map((name) => join(folder, name));
    await mkdir(local);
    const size = (await stat(source)).size;
    console.log(`source    ${source}, ${(size / 1e6).toFixed(1)} MB`);

    const imported = await pagefold("import", source, "--store", store, "--tag", "main");
    const kept = ((100 * imported.storedBytes) / imported.bytes).toFixed(0);
    console.log(
      `import    ${imported.pageCount} pages of ${imported.pageSize} B → ${(imported.storedBytes / 1e6).toFixed(1)} MB stored (${kept} %), ${imported.ms} ms`,
    );

    const cloned = await pagefold("clone", "main", "--store", store, "--local", local);
    console.log(
      `clone     volume ${cloned.volume} at LSN ${cloned.lsn}, ${cloned.requests} requests, no page fetched`,
    );

    console.log(`\n${tableLine(columns.map(({ name }) => name))}`);
    const shape = given === undefined ? "wordnet" : "schema";
    let queries = 0;
    let beforeScans;
    await run([join(here, "main-job.queries.mjs"), shape, store, "main", local], (line) => {
      const report = JSON.parse(line);
      if (report.scans) beforeScans ??= { queries, pages: report.pagesBefore };
      const { name, rows, ms, faults, requests, bytesFetched, newPages, pageCount } = report;
      const share = `${((100 * newPages) / Math.max(1, pageCount)).toFixed(1)} %`;
      queries++;
      console.log(
        tableLine([name, rows, ms.toFixed(1), faults, requests, Math.round(bytesFetched / 1024), share]),
      );
    });
    if (queries < 6) throw new Error(`only ${queries} queries ran`);

    await writeAndRead(store, local, imported.pageCount);

    const out = await pagefold("export", "main", exported, "--store", store, "--lsn", "1");
    const [before, after] = [await sha256(source), await sha256(exported)];
    if (before !== after || !(await sameBytes(source, exported))) {
      throw new Error(`the exported bytes differ from the source: sha256 ${after} instead of ${before}`);
    }
    console.log(
      `export    LSN 1: ${(out.bytes / 1e6).toFixed(1)} MB in ${out.ms} ms, state checksum ${out.stateChecksum}`,
    );
    console.log(`compare   byte for byte the same, sha256 ${after}`);

    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const share = ((100 * beforeScans.pages) / imported.pageCount).toFixed(1);
    console.log(
      `\ndone: imported, cloned, ran ${queries} queries (the first ${beforeScans.queries} on ${share} % of the pages), wrote and read back, exported identical bytes, in ${seconds} s`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

try {
  await main(process.argv[2]);
} catch (error) {
  console.error(`main job failed: ${error.message}`);
  process.exitCode = 1;
}
