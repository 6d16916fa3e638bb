/**
 * `pagefold/browser` as applications load it: with no bundler at all, built by Vite and by webpack, and by Vite's server for development, which puts
 * packages together anew and moves them. None of them is told anything about it. Skipped where nothing was built.
 */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import webpack from "webpack";
import { onDemand } from "../more.ts";
import { type Application, installIn, isBuilt, serveFolder, vite } from "./installed.ts";
import { SUM } from "./pages/sql-run.ts";
import type { TestContext } from "./run-in-page.ts";
import { requireChromium } from "./shared-chromium.ts";
import { Site } from "./site.ts";
import { serveSqlCases } from "./sql-site.ts";

/** Sets `run`: a page that reads, and one that writes to what outlives it. */
const APPLICATION = (module: string) => `
import { isPagefoldError, openDatabase } from "${module}";
globalThis.run = async (space, options) => {
  const db = await openDatabase({ url: "/objects/" + space + "/", tag: "words", ...options });
  const { bridge, storage, tab } = await db.status();
  const [{ sum }] = await db.query("SELECT sum(n) AS sum FROM words");
  let refused;
  if (options.readOnly) await db.exec("DELETE FROM words").catch((e) => { refused = isPagefoldError(e) && e.code; });
  else await db.exec("UPDATE words SET n = n + 1 WHERE id = 1");
  const { ahead } = await db.status();
  await db.close();
  return { bridge, storage, tab, sum, ahead, refused };
};
document.title = "ready";`;
const PAGE = (script: string) =>
  `<!doctype html><meta charset="utf-8"><script type="module" src="${script}"></script>`;

let site: Site;
let spaces = 0;

beforeAll(async () => {
  site = await Site.start();
  await serveSqlCases(site);
});
afterAll(() => site.close());

async function runAt(context: TestContext, url: string): Promise<void> {
  const browser = await requireChromium(context);
  const { page, lines } = await browser.open(url);
  try {
    // A bundler's server may load the page again when it has found out about a package.
    await page.waitForFunction(() => document.title === "ready");
    await page.waitForLoadState("networkidle");
    const run = (options: object) =>
      page.evaluate(
        ([space, given]) =>
          (globalThis as unknown as { run(space: string, options: object): Promise<unknown> }).run(
            space,
            given,
          ),
        [`imported-bundlers-${++spaces}`, options] as const,
      );
    expect(await run({ readOnly: true })).toEqual({
      bridge: "jspi",
      storage: "memory",
      tab: "single",
      sum: SUM,
      ahead: 0,
      refused: "invalid",
    });
    expect(await run({})).toMatchObject({
      bridge: "jspi",
      storage: "opfs",
      tab: "leader",
      sum: SUM,
      ahead: 1,
    });
    expect(await run({ worker: false, storage: "memory" })).toMatchObject({ sum: SUM, ahead: 1 });
  } catch (error) {
    throw new Error(`${(error as Error).message}\nconsole of the page:\n${lines.join("\n")}`, {
      cause: error,
    });
  } finally {
    await page.close();
  }
}

function needsBuild(context: TestContext): void {
  onDemand(context);
  if (!isBuilt) context.skip("there is no dist/browser; run npm run build first");
}

describe("pagefold/browser", () => {
  const applications: Application[] = [];
  afterAll(() => {
    for (const application of applications) application.remove();
  });

  function application(files: Readonly<Record<string, string>>): Application {
    const made = installIn(files);
    applications.push(made);
    return made;
  }

  it("works without a bundler", async (context) => {
    needsBuild(context);
    const { folder } = application({
      "main.js": APPLICATION("./pagefold/pagefold.js"),
      "index.html": PAGE("./main.js"),
    });
    serveFolder(site, folder, "/plain");
    serveFolder(site, join(folder, "node_modules/pagefold/dist/browser"), "/plain/pagefold");
    await runAt(context, `${site.origin}/plain/index.html`);
  });

  it("loads nothing to read but the entry, the worker, and what these begin with", async (context) => {
    needsBuild(context);
    const { folder } = application({
      "main.js": APPLICATION("./pagefold/pagefold.js"),
      "index.html": PAGE("./main.js"),
    });
    serveFolder(site, folder, "/read");
    serveFolder(site, join(folder, "node_modules/pagefold/dist/browser"), "/read/pagefold");
    const browser = await requireChromium(context);
    const { page } = await browser.open(`${site.origin}/read/index.html`);
    await page.waitForFunction(() => document.title === "ready");
    const loaded: string[] = [];
    // Those of the worker, too; the page's own are in its timeline.
    page.on("request", (request) => loaded.push(request.url()));
    await page.evaluate(
      (space) =>
        (globalThis as unknown as { run(space: string, options: object): Promise<unknown> }).run(space, {
          readOnly: true,
        }),
      `imported-bundlers-${++spaces}`,
    );
    const own = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
    const names = [...loaded, ...own]
      .filter((url) => url.includes("/read/pagefold/"))
      .map(
        (url) =>
          url
            .split("/")
            .at(-1)
            ?.replace(/-[\w-]{8}\.js$/, "-*.js") ?? "",
      );
    expect([...new Set(names)].sort()).toEqual([
      "base-*.js",
      "bytes-*.js",
      "pagefold.js",
      "sql-worker-browser.js",
      "sqlite3.wasm",
    ]);
    await page.close();
  });

  it("has what it can do offline at hand a moment after it was opened for writing", async (context) => {
    needsBuild(context);
    const { folder } = application({
      "main.js": `import { openDatabase } from "./pagefold/pagefold.js";
        globalThis.open = async (space) => {
          globalThis.db = await openDatabase({ url: "/objects/" + space + "/", tag: "words" });
          await db.hydrate();
        };
        globalThis.work = async () => {
          await db.exec("UPDATE words SET n = 1000 WHERE id = 1");
          const live = db.live("SELECT n FROM words WHERE id = 1");
          const { value } = await live.next();
          await live.return();
          const [pragma] = await db.query("PRAGMA pagefold_status");
          const { ahead } = await db.status();
          const { dropped } = await db.reset();
          return { value, pragma: pragma !== undefined, ahead, dropped };
        };
        document.title = "ready";`,
      "index.html": PAGE("./main.js"),
    });
    serveFolder(site, folder, "/offline");
    serveFolder(site, join(folder, "node_modules/pagefold/dist/browser"), "/offline/pagefold");
    const browser = await requireChromium(context);
    const { page } = await browser.open(`${site.origin}/offline/index.html`);
    await page.waitForFunction(() => document.title === "ready");
    const loaded: string[] = [];
    page.on("requestfinished", (request) => loaded.push(request.url()));
    type Globals = { open(space: string): Promise<void>; work(): Promise<unknown> };
    await page.evaluate(
      (space) => (globalThis as unknown as Globals).open(space),
      `imported-bundlers-${++spaces}`,
    );
    for (const part of ["verbs", "live-queries", "volume-calls", "pagefold-pragmas"])
      await expect
        .poll(() => loaded.some((url) => url.includes(`/${part}-`)), { timeout: 30_000 })
        .toBe(true);
    await page.context().setOffline(true);
    try {
      const done = await page.evaluate(() => (globalThis as unknown as Globals).work());
      expect(done).toEqual({ value: [{ n: 1000 }], pragma: true, ahead: 1, dropped: 1 });
    } finally {
      await page.context().setOffline(false);
      await page.close();
    }
  });

  it("works when Vite has built the application", async (context) => {
    needsBuild(context);
    const { folder } = application({
      "main.js": APPLICATION("pagefold/browser"),
      "index.html": PAGE("/main.js"),
    });
    await (await vite()).build({ root: folder, base: "/vite/", configFile: false, logLevel: "error" });
    serveFolder(site, join(folder, "dist"), "/vite");
    await runAt(context, `${site.origin}/vite/index.html`);
  });

  it("works in Vite's server for development", async (context) => {
    needsBuild(context);
    const { folder } = application({
      "main.js": APPLICATION("pagefold/browser"),
      "index.html": PAGE("/main.js"),
    });
    const server = await (await vite()).createServer({
      root: folder,
      configFile: false,
      logLevel: "error",
      server: { host: "127.0.0.1", port: 0, proxy: { "/objects": site.origin } },
    });
    await server.listen();
    try {
      await runAt(context, server.resolvedUrls?.local[0] ?? "");
    } finally {
      await server.close();
    }
  });

  it("works when webpack has built the application", async (context) => {
    needsBuild(context);
    const { folder } = application({ "main.js": APPLICATION("pagefold/browser") });
    await buildWithWebpack(folder);
    serveFolder(site, join(folder, "out"), "/webpack");
    site.addFile("/webpack/index.html", PAGE("./main.js"));
    await runAt(context, `${site.origin}/webpack/index.html`);
  });
});

/** Everything at its default but where files are. */
function buildWithWebpack(folder: string): Promise<void> {
  const compiler = webpack({
    context: folder,
    mode: "production",
    // As applications build; what minifying would add takes longer than all the rest.
    optimization: { minimize: false },
    entry: "./main.js",
    output: { path: join(folder, "out"), filename: "main.js" },
  });
  return new Promise((resolve, reject) => {
    compiler?.run((error, stats) => {
      if (error !== null) return reject(error);
      if (stats?.hasErrors()) return reject(new Error(stats.toString({ errors: true, all: false })));
      compiler.close((closing) => (closing ? reject(closing) : resolve()));
    });
  });
}
