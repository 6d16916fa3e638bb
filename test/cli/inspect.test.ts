/** `pagefold inspect` end to end: figures, a watched query, tables, and the file that it writes. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Inspection } from "../../src/inspect/inspection.ts";
import * as processes from "./cli.ts";
import { temporaryFolder } from "./cli.ts";
import { failJson, runCli, runJson } from "./either.ts";
import { sampleDatabase } from "./sample-database.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: string;
let pageCount: number;
const at = (...names: string[]): string => join(folder.path, ...names);
const inspect = (...args: string[]): Promise<Inspection> =>
  runJson<Inspection>(["inspect", "shop", "--store", store, ...args]);

beforeAll(async () => {
  folder = await temporaryFolder();
  store = at("store");
  const database = await sampleDatabase();
  pageCount = database.length / 4096;
  await writeFile(at("source.db"), database);
  await runJson(["import", at("source.db"), "--store", store, "--tag", "shop"]);
});

afterAll(async () => folder?.remove());

const point = "SELECT name FROM items WHERE id = 1234";

describe("inspect", () => {
  it("is one versioned document, with exactly the documented members", async () => {
    const inspection = await inspect();
    expect(Object.keys(inspection).sort()).toEqual(
      [
        ...[
          "asked",
          "byteLength",
          "commits",
          "format",
          "history",
          "lag",
          "localCommits",
          "lsn",
          "name",
          "pageSize",
        ],
        ...["query", "residency", "store", "tables", "takenAt", "version", "volume"],
      ].sort(),
    );
    expect(inspection).toMatchObject({
      ...{ format: "pagefold-inspection", version: 1, name: "shop", asked: true, lsn: 1, localCommits: 0 },
      ...{ pageSize: 4096, byteLength: pageCount * 4096, query: null, tables: null },
      lag: { state: "clean", lsn: 1, remoteLsn: 1, ahead: 0, behind: 0, pendingPush: false },
      residency: { pageCount, totals: { absent: pageCount, resident: 0, prefetched: 0 } },
      commits: [{ lsn: 1, pages: pageCount, ranges: [[1, pageCount]] }],
    });
    expect(inspection.store).toMatch(/^file:/);
  });

  it("shows what a local directory has, and leaves it as it was", async () => {
    const args = ["--local", at("local")];
    await runJson(["clone", "shop", "--store", store, ...args]);
    await runJson(["sql", "shop", point, "--store", store, ...args]);
    await runJson(["sql", "shop", "DELETE FROM tags WHERE item = 3", "--store", store, "--no-push", ...args]);
    const first = await inspect(...args);
    const { totals } = first.residency;
    expect(totals.absent).toBeLessThan(pageCount);
    expect(totals.absent).toBeGreaterThan(0);
    expect(totals.dirty).toBeGreaterThan(0);
    expect(first).toMatchObject({ localCommits: 1, lag: { state: "ahead", ahead: 1 } });
    const withTables = await inspect("--tables", ...args);
    expect(withTables.tables?.tables.map(({ name }) => name).sort()).toEqual([
      ...["items", "items_name", "sqlite_schema", "tags", "tags_item"],
    ]);
    expect(withTables.residency).toEqual(first.residency);
    expect((await inspect(...args)).residency).toEqual(first.residency);
  });

  it("runs a query and shows its faults, its requests and what is here because of it", async () => {
    const { query, residency } = await inspect("--sql", point);
    expect(query?.label).toBe(point);
    expect(query?.durationMs).toBeGreaterThan(0);
    expect(query?.faults.length).toBeGreaterThan(0);
    expect(query?.totals.faults).toBe(query?.faults.length);
    // A small commit carries its frames itself.
    expect(query?.requests.some(({ kind, bytes }) => kind === "commits" && bytes > 0)).toBe(true);
    expect(query?.totals.bytes).toBeGreaterThan(0);
    expect(residency.totals.resident).toBeGreaterThan(0);
    expect(residency.totals.absent).toBeLessThan(pageCount);
    const failure = await failJson(["inspect", "shop", "--store", store, "--sql", "DELETE FROM items"]);
    expect(failure).toMatchObject({ exit: 2, code: "invalid" });
    expect((await inspect("--sql", "SELECT count(*) FROM items", "--commits", "0")).commits).toEqual([]);
  });

  it("has as many cells as are asked for at most", async () => {
    const { residency, tables } = await inspect("--cells", "10", "--tables");
    expect(residency.cells).toBeLessThanOrEqual(10);
    expect(tables?.cells).toHaveLength(residency.cells);
    expect(tables?.pagesPerCell).toBe(residency.pagesPerCell);
  });

  it("speaks to people in tables", async () => {
    const args = ["inspect", "shop", "--store", store, "--sql", point, "--tables"];
    const { code, stdout, stderr } = await runCli(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^pageCount +\d+$/m);
    expect(stdout).toMatch(/^absent +\d+ +\d/m);
    expect(stdout).toMatch(/^query in \d+ ms: \d+ faults for \d+ pages, /m);
    expect(stdout).toMatch(/^items +\d+ /m);
    expect(stdout).toMatch(/^ +1 {2}20\d\d-/m);
  });

  it("writes one file that needs nothing else", async () => {
    const file = at("shop.html");
    const args = ["inspect", "shop", "--store", store, "--tables", "--html", file];
    const { code, stdout, stderr } = await processes.runCli(args);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(stderr).toContain(file);
    const html = await readFile(file, "utf8");
    expect(/^import\s/m.test(html)).toBe(false);
    expect(/(?:src|href)=|url\(/.test(html)).toBe(false);
    const json = /id="inspection">(.*?)<\/script>/s.exec(html)?.[1] ?? "";
    expect(JSON.parse(json)).toMatchObject({ format: "pagefold-inspection", name: "shop", version: 1 });
    const failure = await processes.failJson([...args.slice(0, -1), at("none", "shop.html")]);
    expect(failure).toMatchObject({ exit: 1, code: "unavailable" });
    expect(failure.message).toContain("name another file");
  });

  it("of a volume that is no database shows all but tables and queries", async () => {
    await writeFile(at("plain.bin"), Buffer.alloc(100_000, "x"));
    await runJson(["import", at("plain.bin"), "--store", store, "--tag", "plain"]);
    const inspection = await runJson<Inspection>(["inspect", "plain", "--store", store]);
    expect(inspection).toMatchObject({ name: "plain", byteLength: 100_000, residency: { pageCount: 25 } });
    expect(await failJson(["inspect", "plain", "--store", store, "--tables"])).toMatchObject({
      ...{ exit: 2, code: "invalid" },
    });
  });

  it("without the store shows what is known here; a name that is none is not found", async () => {
    const [lonely, local] = [at("lonely"), at("lonely-local")];
    await runJson(["import", at("source.db"), "--store", lonely, "--tag", "shop"]);
    const args = ["inspect", "shop", "--store", lonely, "--local", local, "--commits", "0"];
    await runJson(["sql", "shop", point, "--store", lonely, "--local", local]);
    const near = await runJson<Inspection>(args);
    await rename(lonely, at("away"));
    expect(await runJson<Inspection>([...args, "--offline"])).toMatchObject({
      ...{ asked: false, residency: near.residency },
    });
    const { code, stderr, stdout } = await runCli(args);
    expect(code).toBe(0);
    expect(stderr).toContain("what follows is what is known here");
    expect(stdout).toContain("as of the last fetch");
    expect(await failJson(["inspect", "none", "--store", store])).toMatchObject({ code: "not_found" });
    expect(await failJson(["inspect", "shop", "--store", store, "--cells", "0"])).toMatchObject({ exit: 2 });
  });
});
