/**
 * A page and a Pagefold server of another origin: opening in one request, writing and pushing with a token, news of what others push, and what a token
 * does not grant.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningServer, startServer } from "../../server/http/ops/index.ts";
import { mintToken, secretSigningKey } from "../../server/http/ops/mint.ts";
import { openHttpStore } from "../../src/remote/http/http-object-store.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { Database } from "../../vfs/index.ts";
import { bundleWorker } from "../vfs/bundle.ts";
import type * as tabs from "./pages/tabs.ts";
import { type TestContext, useBrowser } from "./run-in-page.ts";
import { sqlScripts } from "./sql-site.ts";

const browser = useBrowser({ pages: ["tabs"], scripts: sqlScripts });
const secret = "a secret that only this test and its server know";
const PATIENCE = { timeout: 40_000, interval: 50 };

let server: RunningServer;
let log = "";

beforeAll(async () => {
  const { origin } = await browser.site();
  server = await startServer(
    { port: 0, cors: [origin], public: ["open-*"], logLevel: "info", drainTimeout: 200 },
    {
      store: new MemoryObjectStore(),
      secrets: { jwtSecret: secret },
      log: {
        write: (line: string) => {
          log += line;
        },
      },
    },
  );
});
afterAll(() => server.close());

async function tokenFor(right: "read" | "write" | "admin", tag: string): Promise<string> {
  const key = secretSigningKey(new TextEncoder().encode(secret), "the test");
  return (await mintToken(key, { grants: [{ right, tag }], expiresInMs: 600_000 })).token;
}

/** A client that is no page. */
async function openInNode(tag: string, auth: string): Promise<Database> {
  const store = await openHttpStore(server.url, { auth, name: tag });
  return Database.open(store, tag, {
    create: true,
    workerUrl: await bundleWorker("vfs/worker/node-worker.ts"),
  });
}

async function newPage(context: TestContext) {
  const tab = await browser.open(context);
  return { tab, page: tab.module<typeof tabs>("tabs", { timeoutMs: 60_000 }) };
}

const isRead = (line: string): boolean => line.includes('"method":"GET"') && line.includes("/volumes/");

describe("a page and a server", () => {
  it("open in one request, and read without a token what is public", async (context) => {
    const writer = await openInNode("open-words", await tokenFor("admin", "open-words"));
    await writer.exec(
      "CREATE TABLE words(id INTEGER PRIMARY KEY, word TEXT); INSERT INTO words VALUES (1, 'one')",
    );
    await writer.push();
    await writer.close();
    const { tab, page } = await newPage(context);
    log = "";
    await page.openUrl({ space: "", url: server.url, tag: "open-words", readOnly: true });
    expect(await page.query({ sql: "SELECT word FROM words WHERE id = 1" })).toEqual([{ word: "one" }]);
    await expect.poll(() => log, PATIENCE).toContain("/v1/open/");
    expect(log.split("\n").filter(isRead)).toEqual([]);
    await expect(page.exec({ sql: "DELETE FROM words" })).rejects.toMatchObject({ code: "invalid" });
    await tab.close();
  });

  it("write, push, and hear of each other's pushes, page and Node alike", async (context) => {
    const auth = await tokenFor("admin", "shared");
    const node = await openInNode("shared", auth);
    await node.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await node.push();
    const { tab, page } = await newPage(context);
    await page.openUrl({ space: "", url: server.url, tag: "shared", auth, live: true });
    await page.watch({ name: "rows", sql: "SELECT a FROM t ORDER BY a" });
    await expect
      .poll(async () => (await page.results({ name: "rows" })).at(-1), PATIENCE)
      .toEqual([{ a: 1 }]);
    await node.exec("INSERT INTO t VALUES (2)");
    await node.push();
    await expect
      .poll(async () => (await page.results({ name: "rows" })).at(-1), PATIENCE)
      .toEqual([{ a: 1 }, { a: 2 }]);
    const moves = node.follow();
    const moved = moves.next();
    await page.exec({ sql: "INSERT INTO t VALUES (3)" });
    const lsn = await page.push();
    expect((await moved).value).toMatchObject({ lsn });
    expect(await node.query("SELECT count(*) AS n FROM t")).toEqual([{ n: 3 }]);
    await moves.return();
    await node.close();
    await tab.close();
  });

  it("what a token does not grant is refused, and nobody learns that it is there", async (context) => {
    const owner = await openInNode("private", await tokenFor("admin", "private"));
    await owner.exec("CREATE TABLE t(a)");
    await owner.push();
    await owner.close();
    const { tab, page } = await newPage(context);
    const opening = { space: "", url: server.url, tag: "private", storage: "memory" } as const;
    await expect(page.openUrl(opening)).rejects.toMatchObject({ code: "not_found" });
    const stranger = await tokenFor("admin", "other");
    await expect(page.openUrl({ ...opening, auth: stranger })).rejects.toMatchObject({ code: "not_found" });
    await expect(page.openUrl({ ...opening, auth: "forged" })).rejects.toMatchObject({
      code: "unauthorized",
    });
    await page.openUrl({ ...opening, auth: await tokenFor("read", "private") });
    await page.exec({ sql: "INSERT INTO t VALUES (1)" });
    await expect(page.push()).rejects.toMatchObject({ code: "forbidden" });
    expect(log).not.toContain(stranger);
    await tab.close();
  });
});
