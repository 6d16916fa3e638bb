/**
 * `openDatabase` against a Pagefold server on another origin: what opening costs, writes of one tab that reach the others live, and a server that goes away
 * and comes back.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningServer, startServer } from "../../server/http/ops/index.ts";
import { MemoryObjectStore } from "../../src/index.ts";
import type * as tabs from "./pages/tabs.ts";
import { type TestContext, useBrowser } from "./run-in-page.ts";
import { queryWithPlainSqlite, sqlScripts } from "./sql-site.ts";

const browser = useBrowser({ pages: ["tabs"], scripts: sqlScripts });
const PATIENCE = { timeout: 30_000, interval: 50 };

let store: MemoryObjectStore;
let server: RunningServer;
let origin: string;

const start = (port: number): Promise<RunningServer> =>
  startServer(
    { port, cors: [origin], logLevel: "error", open: true, drainTimeout: 100 },
    { store, log: { write: () => {} } },
  );

beforeAll(async () => {
  origin = (await browser.site()).origin;
  store = new MemoryObjectStore();
  server = await start(0);
});
afterAll(() => server.close());

async function newPage(context: TestContext) {
  const tab = await browser.open(context);
  return { tab, page: tab.module<typeof tabs>("tabs", { timeoutMs: 60_000 }) };
}

/** Of the index of cached pages of the storage that was opened for "away". Runs in the page. */
async function cachedBytes(): Promise<number> {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("pagefold");
  for await (const [name, handle] of folder.entries()) {
    if (!name.includes("away") || handle.kind !== "directory") continue;
    const directory = handle as FileSystemDirectoryHandle;
    return (await (await directory.getFileHandle("pages-4096.index")).getFile()).size;
  }
  return 0;
}

describe("over a server", () => {
  it("what one tab pushes reaches the tabs of another storage, live", async (context) => {
    const [writer, leader, follower] = [
      await newPage(context),
      await newPage(context),
      await newPage(context),
    ];
    await writer.page.openUrl({ space: "", url: server.url, tag: "live", create: true, storage: "memory" });
    await writer.page.exec({ sql: "CREATE TABLE t(a); INSERT INTO t VALUES (1)" });
    await writer.page.push();
    for (const { page } of [leader, follower]) {
      await page.openUrl({ space: "", url: server.url, tag: "live", live: true });
      await page.watch({ name: "rows", sql: "SELECT a FROM t" });
    }
    expect((await follower.page.status()).tab).toBe("follower");
    for (const n of [2, 3, 4]) {
      await writer.page.exec({ sql: `INSERT INTO t VALUES (${n})` });
      await writer.page.push();
    }
    for (const { page } of [leader, follower])
      await expect.poll(async () => (await page.results({ name: "rows" })).at(-1)?.length, PATIENCE).toBe(4);
    await leader.tab.close();
    // The tab that takes over follows, too.
    await writer.page.exec({ sql: "INSERT INTO t VALUES (5)" });
    await writer.page.push();
    await expect
      .poll(async () => (await follower.page.results({ name: "rows" })).at(-1)?.length, PATIENCE)
      .toBe(5);
    for (const { tab } of [writer, follower]) await tab.close();
  });

  it("opening to read and a query are few requests", async (context) => {
    const { tab, page } = await newPage(context);
    const requests: string[] = [];
    tab.watched.page.on("request", (request) => {
      if (request.url().startsWith(server.url)) requests.push(`${request.method()} ${request.url()}`);
    });
    await page.openUrl({ space: "", url: server.url, tag: "live", readOnly: true });
    expect(await page.query({ sql: "SELECT count(*) AS n FROM t" })).toEqual([{ n: 5 }]);
    expect(requests.filter((line) => line.startsWith("GET"))).toHaveLength(requests.length);
    expect(requests.length, requests.join("\n")).toBeLessThanOrEqual(3);
    await tab.close();
  });

  it("goes on without it, and pushes when it is back", async (context) => {
    const { tab, page } = await newPage(context);
    await page.openUrl({ space: "", url: server.url, tag: "away", create: true });
    await page.exec({ sql: "CREATE TABLE t(a); INSERT INTO t VALUES (1)" });
    await page.push();
    // What it has pushed are cached pages now, which are written a moment later.
    await expect.poll(() => tab.watched.page.evaluate(cachedBytes), PATIENCE).toBeGreaterThan(32);
    await server.close();
    await tab.watched.page.reload();
    const again = await page.openUrl({ space: "", url: server.url, tag: "away" });
    expect(again).toMatchObject({ storage: "opfs", lsn: 1 });
    await page.exec({ sql: "INSERT INTO t VALUES (2)" });
    await expect(page.push()).rejects.toMatchObject({ code: "unavailable" });
    server = await start(server.port);
    expect(await page.push()).toBe(2);
    expect(await queryWithPlainSqlite(store, "away", "SELECT a FROM t")).toEqual([[1], [2]]);
    await tab.close();
  });
});
