/** Every verb end to end, over one file-system store. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as processes from "./cli.ts";
import { sha256, temporaryFolder } from "./cli.ts";
import { failJson, runCli, runJson } from "./either.ts";
import { sampleDatabase } from "./sample-database.ts";

interface ImportResult {
  volume: string;
  tag: string;
  lsn: number;
  pageCount: number;
  pageSize: number;
  bytes: number;
  storedBytes: number;
  changedPages: number;
  requests: number;
  ms: number;
}

interface SqlResult {
  columns: string[];
  rows: unknown[][];
  stats: Record<string, number>;
}

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: string;
let source: string;
let database: Uint8Array;
let imported: ImportResult;
const at = (...names: string[]): string => join(folder.path, ...names);

beforeAll(async () => {
  folder = await temporaryFolder();
  store = at("store");
  source = at("source.db");
  database = await sampleDatabase();
  await writeFile(source, database);
  imported = await processes.runJson<ImportResult>(["import", source, "--store", store, "--tag", "shop"]);
});

afterAll(async () => folder?.remove());

describe("import", () => {
  it("reports what it stored, with exactly the documented members", () => {
    expect(Object.keys(imported).sort()).toEqual(
      [
        "bytes",
        "changedPages",
        "lsn",
        "ms",
        "pageCount",
        "pageSize",
        "requests",
        "storedBytes",
        "tag",
        "volume",
      ].sort(),
    );
    expect(imported).toMatchObject({ tag: "shop", lsn: 1, pageSize: 4096, bytes: database.length });
    expect(imported.pageCount).toBe(database.length / 4096);
    expect(imported.changedPages).toBeGreaterThan(0);
    expect(imported.storedBytes).toBeLessThan(database.length);
    expect(imported.requests).toBeGreaterThan(0);
  });

  it("invariant 11: importing the same bytes again commits nothing", async () => {
    const again = await runJson<ImportResult>(["import", source, "--store", store, "--tag", "shop"]);
    expect(again).toMatchObject({ volume: imported.volume, lsn: 1, changedPages: 0 });
  });

  it("of a changed file commits only the pages that changed; an old LSN keeps its bytes", async () => {
    const [path, out] = [at("evolving.bin"), at("evolving.out")];
    const first = Buffer.alloc(300_000, "a");
    await writeFile(path, first);
    await runJson(["import", path, "--store", store, "--tag", "evolving"]);
    const second = Buffer.concat([first, Buffer.from("tail")]);
    second.write("changed", 100_000);
    await writeFile(path, second);
    const result = await runJson<ImportResult>(["import", path, "--store", store, "--tag", "evolving"]);
    expect(result).toMatchObject({ lsn: 2, bytes: 300_004 });
    expect(result.changedPages).toBe(2);
    await runJson(["export", "evolving", out, "--store", store]);
    expect(sha256(await readFile(out))).toBe(sha256(second));
    await runJson(["export", "evolving", out, "--store", store, "--lsn", "1"]);
    expect(sha256(await readFile(out))).toBe(sha256(first));
  });

  it("takes the page size that is asked for, and a database's own when none is", async () => {
    const small = at("small-pages.db");
    await writeFile(small, await sampleDatabase({ pageSize: 1024, rows: 50 }));
    expect(await runJson(["import", small, "--store", store, "--tag", "small"])).toMatchObject({
      pageSize: 1024,
    });
    const plain = at("plain.bin");
    await writeFile(plain, "some bytes");
    const result = await runJson(["import", plain, "--store", store, "--tag", "plain", "--page-size", "512"]);
    expect(result).toMatchObject({ pageSize: 512, pageCount: 1, bytes: 10 });
  });

  it("speaks to people in lines on stdout, and says nothing else", async () => {
    const { code, stdout, stderr } = await runCli(["import", source, "--store", store, "--tag", "shop"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^volume +${imported.volume}$`, "m"));
    expect(stdout).toMatch(/^tag +shop$/m);
    expect(stderr).toBe("");
  });
});

describe("export", () => {
  it("writes the very bytes that were imported", async () => {
    const out = at("out.db");
    const result = await runJson(["export", "shop", out, "--store", store]);
    expect(Object.keys(result).sort()).toEqual(["bytes", "lsn", "ms", "stateChecksum"]);
    expect(result).toMatchObject({
      bytes: database.length,
      lsn: 1,
      stateChecksum: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
    expect(sha256(await readFile(out))).toBe(sha256(database));
  });

  it("knows a volume by its id too", async () => {
    const out = at("by-id.db");
    expect((await runCli(["export", imported.volume, out, "--store", store])).code).toBe(0);
    expect(sha256(await readFile(out))).toBe(sha256(database));
  });
});

describe("sql", () => {
  const point = "SELECT name, price FROM items WHERE id = 1234";

  it("fetches only the pages that a query touches", async () => {
    const { columns, rows, stats } = await runJson<SqlResult>(["sql", "shop", point, "--store", store]);
    expect(columns).toEqual(["name", "price"]);
    expect(rows).toEqual([[expect.stringMatching(/^item-\d{6}$/), 308.5]]);
    expect(Object.keys(stats).sort()).toEqual(
      [
        "bytesFetched",
        "faults",
        "lsn",
        "ms",
        "pageCount",
        "pageSize",
        "prefetchedUnused",
        "requests",
        "residentPages",
      ].sort(),
    );
    expect(stats).toMatchObject({ lsn: 1, pageSize: 4096, pageCount: imported.pageCount });
    expect(stats.faults).toBeGreaterThan(0);
    expect(stats.residentPages).toBeLessThan(imported.pageCount);
  });

  it("keeps every value: blobs, big integers, infinite reals and NULL", async () => {
    const sql = "SELECT id, name, price, body FROM items WHERE id >= 1000000 ORDER BY id";
    const { rows } = await runJson<SqlResult>(["sql", "shop", sql, "--store", store]);
    expect(rows).toEqual([
      [1000000, null, { $real: "Infinity" }, { $blob: "AP8Q" }],
      [{ $integer: "9223372036854775807" }, "last", -1.5, null],
    ]);
  });

  it("with a local directory a second run fetches nothing that is already there", async () => {
    const args = ["sql", "shop", point, "--store", store, "--local", at("sql-local")];
    const first = await runJson<SqlResult>(args);
    const second = await runJson<SqlResult>(args);
    expect(first.stats.faults).toBeGreaterThan(0);
    expect(second.rows).toEqual(first.rows);
    expect(second.stats).toMatchObject({ faults: 0, requests: 0, bytesFetched: 0 });
    expect(second.stats.residentPages).toBeGreaterThan(0);
  });

  it("with the store out of reach resident pages still answer, and a fault says unavailable", async () => {
    const [lonely, away, local] = [at("lonely"), at("away"), at("lonely-local")];
    await runJson(["import", source, "--store", lonely, "--tag", "shop"]);
    const args = (sql: string): string[] => ["sql", "shop", sql, "--store", lonely, "--local", local];
    const { rows } = await runJson<SqlResult>(args(point));
    await rename(lonely, away);
    expect((await runJson<SqlResult>(args(point))).rows).toEqual(rows);
    const failure = await failJson(args("SELECT sum(length(body)) FROM items"));
    expect(failure).toMatchObject({ exit: 1, code: "unavailable" });
    await rename(away, lonely);
    expect((await runJson<SqlResult>(args("SELECT count(*) FROM items"))).rows).toEqual([[2002]]);
  });

  it("prints a table for people, the cost on stderr; takes the query from stdin", async () => {
    const sql = "SELECT item, tag FROM tags ORDER BY item LIMIT 2";
    const ask = ["sql", "shop", "-", "--store", store];
    const { code, stdout, stderr } = await processes.runCli(ask, { stdin: sql });
    expect(code).toBe(0);
    expect(stdout).toBe("item  tag\n----  -----\n   3  tag-3\n   6  tag-6\n");
    expect(stderr).toMatch(/^2 rows in \d+ ms: \d+ faults, \d+ requests, .* fetched\n$/);
    const quiet = await runCli(["sql", "shop", sql, "--store", store, "--quiet"]);
    expect(quiet.stderr).toBe("");
  });

  it("reads an older commit with --lsn", async () => {
    const changed = at("changed.db");
    await writeFile(changed, await sampleDatabase({ rows: 20 }));
    await runJson(["import", source, "--store", store, "--tag", "two"]);
    await runJson(["import", changed, "--store", store, "--tag", "two"]);
    const sql = "SELECT count(*) FROM items";
    expect((await runJson<SqlResult>(["sql", "two", sql, "--store", store])).rows).toEqual([[22]]);
    expect((await runJson<SqlResult>(["sql", "two", sql, "--store", store, "--lsn", "1"])).rows).toEqual([
      [2002],
    ]);
  });
});

describe("read", () => {
  it("writes a range of bytes to stdout, across pages, to the end and past it", async () => {
    const range = async (offset: number, length: number): Promise<Buffer> =>
      (await runCli(["read", "shop", "--offset", `${offset}`, "--length", `${length}`, "--store", store]))
        .bytes;
    expect(await range(0, 16)).toEqual(Buffer.from("SQLite format 3\0"));
    expect(sha256(await range(4000, 10_000))).toBe(sha256(database.subarray(4000, 14_000)));
    expect(sha256(await range(database.length - 5, 100))).toBe(sha256(database.subarray(-5)));
    expect((await range(database.length + 5, 100)).length).toBe(0);
    expect((await range(100, 0)).length).toBe(0);
  });

  it("reads the whole volume by default", async () => {
    const { code, bytes } = await processes.runCli(["read", "shop", "--store", store]);
    expect(code).toBe(0);
    expect(sha256(bytes)).toBe(sha256(database));
  });

  it("--json carries the bytes as a blob", async () => {
    const result = await runJson(["read", "shop", "--offset", "0", "--length", "6", "--store", store]);
    expect(result).toMatchObject({
      volume: imported.volume,
      offset: 0,
      length: 6,
      bytes: { $blob: "U1FMaXRl" },
    });
  });
});

describe("clone, hydrate, status, pull", () => {
  it("a clone fetches no page, hydrate fetches all, and then everything is here", async () => {
    const { runJson } = processes;
    const local = at("clone-local");
    const args = ["shop", "--store", store, "--local", local];
    const cloned = await runJson(["clone", ...args]);
    expect(Object.keys(cloned).sort()).toEqual(["lsn", "requests", "volume"]);
    expect(cloned).toMatchObject({ volume: imported.volume, lsn: 1 });
    expect(await runJson(["status", ...args])).toMatchObject({
      volume: imported.volume,
      state: "clean",
      lsn: 1,
      remoteLsn: 1,
      ahead: 0,
      behind: 0,
      pageSize: 4096,
      byteLength: database.length,
      residentPages: 0,
      pendingPush: false,
    });
    const hydrated = await runJson<Record<string, number>>(["hydrate", ...args]);
    expect(hydrated.pages).toBe(imported.pageCount);
    expect(hydrated.requests).toBeGreaterThan(0);
    expect(await runJson(["status", ...args])).toMatchObject({ residentPages: imported.pageCount });
    const { rows, stats } = await runJson<SqlResult>([
      "sql",
      "shop",
      "SELECT count(*), sum(length(body)) FROM items",
      ...args.slice(1),
    ]);
    expect(rows).toEqual([[2002, 200_003]]);
    expect(stats).toMatchObject({ requests: 0, faults: 0 });
  });

  it("pull moves to the newest commit", async () => {
    const [path, local] = [at("pulled.bin"), at("pull-local")];
    const args = ["pulled", "--store", store, "--local", local];
    await writeFile(path, Buffer.alloc(50_000, "a"));
    await runJson(["import", path, "--store", store, "--tag", "pulled"]);
    await runJson(["clone", ...args]);
    await writeFile(path, Buffer.alloc(60_000, "b"));
    await runJson(["import", path, "--store", store, "--tag", "pulled"]);
    expect(await runJson(["status", ...args, "--offline"])).toMatchObject({ lsn: 1, asked: false });
    expect(await runJson(["status", ...args])).toMatchObject({ state: "behind", behind: 1, remoteLsn: 2 });
    expect(await runJson(["pull", ...args])).toMatchObject({ from: 1, to: 2, changedPages: 15 });
    expect(await runJson(["status", ...args])).toMatchObject({ state: "clean", lsn: 2, byteLength: 60_000 });
    expect(await runJson(["pull", ...args])).toMatchObject({ from: 2, to: 2, changedPages: 0 });
  });
});

describe("write, push, reset", () => {
  beforeAll(async () => {
    const path = at("scratch.bin");
    await writeFile(path, Buffer.alloc(20_000, "."));
    await runJson(["import", path, "--store", store, "--tag", "scratch"]);
  });

  const read = async (offset: number, length: number, ...more: string[]): Promise<string> =>
    (
      await runCli([
        "read",
        "scratch",
        "--offset",
        `${offset}`,
        "--length",
        `${length}`,
        "--store",
        store,
        ...more,
      ])
    ).stdout;

  it("bytes from stdin become one commit that is pushed", async () => {
    const result = await runJson(["write", "scratch", "--offset", "4090", "--store", store], {
      stdin: "hello there",
    });
    expect(result).toMatchObject({ lsn: 2, bytes: 11, changedPages: 2, pushed: true, ahead: 0 });
    expect(await read(4088, 15)).toBe("..hello there..");
  });

  it("a write past the end grows the volume, zeros between", async () => {
    await runJson(["write", "scratch", "--offset", "30000", "--store", store], { stdin: "end" });
    expect(await read(19_999, 2)).toBe(".\0");
    expect(await read(29_999, 100)).toBe("\0end");
  });

  it("--no-push keeps the commit local until push", async () => {
    const local = ["--local", at("write-local")];
    const args = ["scratch", "--store", store, ...local];
    const before = await read(0, 5);
    const written = await runJson(["write", "--offset", "0", "--no-push", ...args], { stdin: "LOCAL" });
    expect(written).toMatchObject({ pushed: false, ahead: 1 });
    expect(await read(0, 5)).toBe(before);
    expect(await read(0, 5, ...local)).toBe("LOCAL");
    expect(await runJson(["status", ...args])).toMatchObject({ state: "ahead", ahead: 1 });
    expect(await runJson(["push", ...args])).toMatchObject({ lsn: 4, commits: 1, changedPages: 1 });
    expect(await read(0, 5)).toBe("LOCAL");
    expect(await runJson(["push", ...args])).toMatchObject({ lsn: 4, commits: 0 });
  });

  it("reset drops local commits, but only when told that this is meant", async () => {
    const local = ["--local", at("reset-local")];
    const args = ["scratch", "--store", store, ...local];
    const before = await read(0, 8);
    // With nothing to drop there is nothing to be asked about.
    await runJson(["clone", ...args]);
    expect(await runJson(["reset", ...args])).toMatchObject({ dropped: 0 });
    await runJson(["write", "--offset", "0", "--no-push", ...args], { stdin: "unwanted" });
    const refused = await failJson(["reset", ...args]);
    expect(refused).toMatchObject({ exit: 2, code: "invalid", message: expect.stringContaining("--yes") });
    expect(await read(0, 8, ...local)).toBe("unwanted");
    expect(await runJson(["reset", ...args, "--yes"])).toMatchObject({ dropped: 1 });
    expect(await read(0, 8, ...local)).toBe(before);
    expect(await runJson(["reset", ...args, "--yes"])).toMatchObject({ dropped: 0 });
  });

  it("two replicas with commits of their own: the second to push learns that it diverged, and reset resolves it", async () => {
    const { runJson, failJson } = processes;
    const [a, b] = [at("diverged-a"), at("diverged-b")].map((local) => [
      "scratch",
      "--store",
      store,
      "--local",
      local,
    ]);
    if (a === undefined || b === undefined) throw new Error("unreachable");
    await runJson(["write", "--offset", "0", "--no-push", ...a], { stdin: "AAAA" });
    await runJson(["write", "--offset", "0", "--no-push", ...b], { stdin: "BBBB" });
    await runJson(["push", ...a]);
    expect(await failJson(["push", ...b])).toMatchObject({ exit: 1, code: "diverged" });
    expect(await runJson(["status", ...b])).toMatchObject({ state: "diverged", ahead: 1, behind: 1 });
    await runJson(["reset", ...b, "--yes"]);
    await runJson(["pull", ...b]);
    expect(await runJson(["status", ...b])).toMatchObject({ state: "clean" });
    expect(await read(0, 4, ...b.slice(3))).toBe("AAAA");
  });
});

describe("log, tags, verify", () => {
  it("log lists commits newest first", async () => {
    const log = await runJson<Record<string, unknown>[]>(["log", "evolving", "--store", store]);
    expect(log.map(({ lsn }) => lsn)).toEqual([2, 1]);
    for (const entry of log) {
      expect(Object.keys(entry)).toEqual(["lsn", "time", "pages", "pageCount", "bytes", "hash"]);
      expect(entry.time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
      expect(entry.hash).toMatch(/^[0-9a-f]{64}$/);
    }
    expect(await runJson<unknown[]>(["log", "evolving", "--store", store, "--limit", "1"])).toEqual([log[0]]);
    const { stdout } = await runCli(["log", "evolving", "--store", store]);
    expect(stdout.split("\n")[0]).toMatch(/^lsn +time +pages +pageCount +bytes +hash$/);
  });

  it("tags lists names and volumes", async () => {
    const tags = await runJson<{ tag: string; volume: string }[]>(["tags", "--store", store]);
    expect(tags).toContainEqual({ tag: "shop", volume: imported.volume });
  });

  it("verify checks the whole volume and says how much that was", async () => {
    const result = await runJson<Record<string, unknown>>(["verify", "shop", "--store", store]);
    expect(result).toMatchObject({ lsn: 1, commits: 1, pages: imported.changedPages });
    expect(result.stateChecksum).toBe(
      (await runJson(["export", "shop", at("v.db"), "--store", store])).stateChecksum,
    );
    expect(await runJson(["verify", "evolving", "--store", store, "--lsn", "1"])).toMatchObject({ lsn: 1 });
  });
});

describe("the frame", () => {
  it("PAGEFOLD_STORE stands in for --store", async () => {
    const { code, stdout } = await processes.runCli(["tags"], { env: { PAGEFOLD_STORE: store } });
    expect(code).toBe(0);
    expect(stdout).toContain("shop");
  });

  it("--help and --version succeed on stdout", async () => {
    const help = await processes.runCli(["--help"]);
    expect(help.code).toBe(0);
    for (const verb of [
      "import",
      "export",
      "clone",
      "sql",
      "read",
      "write",
      "reset",
      "pull",
      "push",
      "status",
      "hydrate",
      "log",
      "tags",
      "verify",
    ]) {
      expect(help.stdout).toMatch(new RegExp(`^  ${verb}\\b`, "m"));
    }
    expect((await runCli(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await runCli(["sql", "--help"])).code).toBe(0);
  });
});
