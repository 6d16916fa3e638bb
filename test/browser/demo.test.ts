/**
 * The demo as a person meets it: `dist/demo.js` run as a process of its own on a small database, its page in a real browser, driven by keyboard and
 * pointer. Skipped where nothing was built.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { requireChromium } from "./shared-chromium.ts";

const demoFile = fileURLToPath(
  new URL(process.env.PAGEFOLD_TEST_DEMO ?? "../../dist/demo.js", import.meta.url),
);
const PATIENCE_MS = 50_000;

interface RunningDemo {
  readonly url: string;
  /** What it said until its address was known. */
  readonly said: string;
  /** Asks it to end, and answers its exit code. */
  stop(): Promise<number | null>;
}

let folder: string;
let demo: RunningDemo;
const pages: Page[] = [];
const children: ChildProcess[] = [];

function startDemo(): Promise<RunningDemo> {
  const child = spawn(process.execPath, [demoFile, "--dir", folder, "--megabytes", "4", "--port", "0"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  return new Promise((resolve, reject) => {
    let out = "";
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
      const url = /^(http:\S+)\n/.exec(out)?.[1];
      const stop = (): Promise<number | null> => {
        child.kill("SIGINT");
        return ended;
      };
      if (url !== undefined) resolve({ url, said, stop });
    });
    void ended.then((code) => reject(new Error(`the demo ended with ${code}: ${said}`)));
  });
}

beforeAll(async () => {
  if (!existsSync(demoFile)) return;
  folder = await mkdtemp(join(tmpdir(), "pagefold-demo-"));
  demo = await startDemo();
});

afterEach(async () => {
  await Promise.all(pages.splice(0).map((page) => page.close()));
});

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  if (folder !== undefined) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

type Context = { skip(reason: string): unknown };

interface Opened {
  readonly page: Page;
  /** What the page complained of, and requests to anywhere else. */
  readonly complaints: string[];
}

async function open(context: Context, viewport = { width: 1300, height: 900 }): Promise<Opened> {
  if (!existsSync(demoFile)) context.skip("dist/demo.js is missing: run npm run build first");
  const chromium = await requireChromium(context);
  const page = await chromium.context.newPage();
  pages.push(page);
  page.setDefaultTimeout(PATIENCE_MS);
  await page.setViewportSize(viewport);
  const complaints: string[] = [];
  page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(new URL(demo.url).origin)) complaints.push(`request: ${request.url()}`);
  });
  await page.goto(demo.url);
  await page.locator("#run:enabled").waitFor();
  return { page, complaints };
}

/** Types SQL, runs it by the keyboard, and answers what the page says when it is done. */
async function run(page: Page, sql: string): Promise<string> {
  await page.locator("#sql").fill(sql);
  await page.locator("#sql").press("Control+Enter");
  return outcome(page);
}

async function outcome(page: Page): Promise<string> {
  await expect
    .poll(() => page.locator("#outcome").textContent(), { timeout: PATIENCE_MS })
    .not.toMatch(/^(Running|Opening)/);
  return (await page.locator("#outcome").textContent()) ?? "";
}

const cells = (page: Page): Promise<string[]> => page.locator("#rows td").allTextContents();
const pagesIn = async (page: Page, state: string): Promise<number> =>
  Number((await page.locator(`[data-state=${state}]`).textContent())?.replaceAll(",", ""));

const POST = "SELECT p.id, u.handle FROM posts p JOIN users u ON u.id = p.author WHERE p.id = 1234";

describe("the demo's page", () => {
  it("runs what is typed, and shows its rows, what it waited for, and what is here now", async (context) => {
    const { page, complaints } = await open(context);
    expect(await page.locator("h1").textContent()).toContain("larger");
    const absent = async (): Promise<number> => pagesIn(page, "absent");
    await expect.poll(absent, { timeout: PATIENCE_MS }).toBeGreaterThan(0);
    const before = await absent();
    expect(await run(page, POST)).toMatch(/^1 row in .*: \d+ requests?, .* fetched\.$/);
    expect((await cells(page))[0]).toBe("1234");
    expect(await page.locator(".waterfall tr.fault").count()).toBeGreaterThan(0);
    expect(await page.locator(".waterfall tr.request").count()).toBeGreaterThan(0);
    expect(await page.locator(".waterfall-summary").textContent()).toMatch(/\d+ faults? for \d+ pages?/);
    await expect.poll(absent, { timeout: PATIENCE_MS }).toBeLessThan(before);
    expect(await page.locator("#totals").textContent()).toMatch(/MB, [\d,]+ pages/);
    // Again, and everything is here.
    expect(await run(page, POST)).toContain("nothing fetched");
    expect(await page.locator(".waterfall-summary").textContent()).toContain("everything was here");
    // And cold, nothing is.
    await page.locator("#cold").click();
    await page.locator("#run:enabled").waitFor();
    await expect.poll(absent, { timeout: PATIENCE_MS }).toBeGreaterThan(before - 40);
    expect(complaints).toEqual([]);
  });

  it("lists examples that run", async (context) => {
    const { page } = await open(context);
    const titles = await page.locator("#examples option").allTextContents();
    expect(titles.length).toBeGreaterThan(5);
    for (const title of titles.filter((each) => !each.startsWith("Write"))) {
      await page.locator("#examples").selectOption(title);
      await page.locator("#run").click();
      expect(await outcome(page), title).toMatch(/^(the first )?\d+ rows? in /);
      await page.locator("#run:enabled").waitFor();
    }
  });

  it("says what is wrong with SQL, stops what takes too long, and shows data as text", async (context) => {
    const { page, complaints } = await open(context);
    expect(await run(page, "SELECT word FROM nowhere")).toMatch(/^invalid: .*no such table: nowhere/);
    await page
      .locator("#sql")
      .fill("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT max(i) FROM c");
    await page.locator("#run").click();
    await page.locator("#stop").click();
    expect(await outcome(page)).toBe("Stopped.");
    await run(
      page,
      `SELECT '<img src="http://127.0.0.1:9/" onerror="document.title=1">', NULL, x'00ff', 9007199254740993`,
    );
    expect(await cells(page)).toEqual([
      '<img src="http://127.0.0.1:9/" onerror="document.title=1">',
      ...["NULL", "blob of 2 bytes", "9007199254740993"],
    ]);
    expect(await page.locator("img").count()).toBe(0);
    expect(await run(page, "SELECT id FROM posts")).toMatch(/^the first 500 rows in /);
    expect(complaints).toEqual([]);
  });

  it("colours the map by table when that is asked for", async (context) => {
    const { page } = await open(context);
    await page.getByLabel("by table").check();
    const names = page.locator(".map-legend .name");
    await expect.poll(() => names.allTextContents(), { timeout: PATIENCE_MS }).toContain("posts_author");
    await page.locator(".map").focus();
    await page.keyboard.press("Home");
    expect(await page.locator(".map-detail").textContent()).toMatch(/^pages? 1\b.*: /);
    await page.getByLabel("by state").check();
    expect(await pagesIn(page, "absent")).toBeGreaterThan(0);
  });

  it("a write in one pane reaches the other, the log and the console; the past stays what it was", async (context) => {
    const { page, complaints } = await open(context);
    const count = "SELECT count(*) FROM posts WHERE title = 'Written in pane A'";
    const [a, b] = [page.getByRole("group", { name: "Pane A" }), page.getByRole("group", { name: "Pane B" })];
    await b.locator("li").first().waitFor();
    await a.getByRole("button", { name: "Post" }).and(page.locator(":enabled")).waitFor();
    await a.getByRole("textbox").fill("Written in pane A");
    await a.getByRole("textbox").press("Enter");
    await expect
      .poll(() => b.locator("li").first().textContent(), { timeout: PATIENCE_MS })
      .toContain("Written in pane A");
    await expect
      .poll(() => page.locator("#travel").textContent(), { timeout: PATIENCE_MS })
      .toMatch(/^From pane A to pane B in /);
    // And back, with markup that is none.
    await b.getByRole("textbox").fill("<i>an answer</i>");
    await b.getByRole("button", { name: "Post" }).click();
    await expect
      .poll(() => a.locator("li").first().textContent(), { timeout: PATIENCE_MS })
      .toContain("<i>an answer</i>");

    await page.locator("[data-lsn='3']").waitFor();
    expect(await run(page, count)).toMatch(/^1 row/);
    expect(await cells(page)).toEqual(["1"]);
    await page.locator("[data-lsn='1']").click();
    await page.getByText("as of commit 1, to read only").waitFor();
    await run(page, count);
    expect(await cells(page)).toEqual(["0"]);
    expect(await run(page, "DELETE FROM posts")).toMatch(/read.?only/i);
    await page.getByRole("button", { name: "Back to now" }).click();
    await page.locator("#past").waitFor({ state: "hidden" });
    await run(page, count);
    expect(await cells(page)).toEqual(["1"]);
    expect(complaints).toEqual([]);
  });

  it("keeps what the console writes until it is pushed or dropped", async (context) => {
    const { page } = await open(context);
    const rename = (name: string): string => `UPDATE users SET bio = '${name}' WHERE id = 7`;
    const bio = async (): Promise<string[]> => {
      await run(page, "SELECT bio FROM users WHERE id = 7");
      return cells(page);
    };
    const newest = async (): Promise<number> =>
      Number(await page.locator("[data-lsn]").first().textContent());
    await page.locator("[data-lsn]").first().waitFor();
    const before = await newest();
    expect(await run(page, rename("dropped"))).toMatch(/^1 row changed/);
    await page.getByText("1 commit of yours, in this tab only").waitFor();
    await expect.poll(() => pagesIn(page, "dirty"), { timeout: PATIENCE_MS }).toBeGreaterThan(0);
    await page.getByRole("button", { name: "Drop" }).click();
    await page.locator("#unpushed").waitFor({ state: "hidden" });
    expect(await bio()).not.toEqual(["dropped"]);
    await run(page, rename("pushed"));
    await page.getByRole("button", { name: "Push" }).click();
    await page.locator("#unpushed").waitFor({ state: "hidden" });
    await expect.poll(newest, { timeout: PATIENCE_MS }).toBe(before + 1);
    expect(await bio()).toEqual(["pushed"]);
  });

  it("fits a phone, light and dark", async (context) => {
    const { page } = await open(context, { width: 360, height: 740 });
    await run(page, "SELECT * FROM posts LIMIT 20");
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    }
    const ground = (): Promise<string> =>
      page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await ground();
    await page.emulateMedia({ colorScheme: "light" });
    expect(await ground()).not.toBe(dark);
  });

  it("is made once: the next start finds it, and Ctrl-C ends it", async (context) => {
    if (!existsSync(demoFile)) context.skip("dist/demo.js is missing: run npm run build first");
    expect(demo.said).toContain("generating posts");
    const again = await startDemo();
    expect(again.said).not.toContain("generating");
    expect(again.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/demo\/$/);
    expect((await fetch(again.url)).status).toBe(200);
    const elsewhere = await fetch(new URL("/volumes/x", again.url), {
      method: "PUT",
      headers: { origin: "http://example.org" },
    });
    expect(elsewhere.status).toBe(403);
    expect(await again.stop()).toBe(0);
  });
});
