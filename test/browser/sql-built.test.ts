/**
 * What is published, in a browser: the files of `dist` as they are, found by an import map, and an application that Vite has built from them.
 * Skipped where nothing was built.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "./root.ts";
import type { TestContext } from "./run-in-page.ts";
import { requireChromium } from "./shared-chromium.ts";
import { Site } from "./site.ts";

const BUILT = ["index.js", "vfs-browser.js", "sql-worker-browser.js"].every((name) =>
  existsSync(join(root, "dist", name)),
);

/** Sets `run`, which opens a database in memory, writes, and answers what it reads there and in a second database. */
const APPLICATION = `
globalThis.run = async (options) => {
  const store = new MemoryObjectStore();
  const one = await Database.open(store, "main", { create: true, ...options });
  await one.exec(\`CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 9000)
    INSERT INTO t SELECT i, 'row ' || i || hex(randomblob(20)) FROM c\`);
  await one.push();
  const { bridge } = await one.status();
  const two = await Database.open(store, "main", options);
  const { rows, stats } = await two.execute("SELECT substr(b, 1, 8) FROM t WHERE a = 8765");
  await one.close();
  await two.close();
  return { bridge, rows, faults: stats.faults };
};`;

interface Answer {
  readonly bridge: string;
  readonly rows: unknown[][];
  readonly faults: number;
}
type Options = { readonly worker?: boolean };

/** Everything below a directory of the project that a page may ask for. */
function serveFolder(site: Site, folder: string, as = `/${folder}`): void {
  for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(m?js|wasm|html)$/.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    site.addFile(`${as}/${relative(join(root, folder), path).replaceAll("\\", "/")}`, readFileSync(path));
  }
}

async function runOn(context: TestContext, site: Site, path: string, options: Options): Promise<Answer> {
  const browser = await requireChromium(context);
  const { page, lines } = await browser.open(`${site.origin}${path}`);
  try {
    return await page.evaluate(
      (given) => (globalThis as unknown as { run(options: Options): Promise<Answer> }).run(given),
      options,
    );
  } catch (error) {
    throw new Error(`${(error as Error).message}\nconsole of the page:\n${lines.join("\n")}`, {
      cause: error,
    });
  } finally {
    await page.close();
  }
}

function needsBuild(context: TestContext): void {
  if (!BUILT) context.skip("there is no dist; run npm run build first");
}

/** Bare names of packages → their modules for browsers. */
const PACKAGES: Readonly<Record<string, string>> = {
  "@sqlite.org/sqlite-wasm": "dist/index.mjs",
  "hash-wasm": "dist/index.esm.js",
  "xxhash-wasm": "esm/xxhash-wasm.js",
  "@bokuweb/zstd-wasm": "dist/web/index.web.js",
  fzstd: "esm/index.mjs",
  "idb-keyval": "dist/index.js",
};

describe("without a bundler, by an import map", () => {
  let site: Site;

  beforeAll(async () => {
    site = await Site.start();
    if (!BUILT) return;
    serveFolder(site, "dist");
    const imports: Record<string, string> = {};
    for (const [name, entry] of Object.entries(PACKAGES)) {
      const folder = `node_modules/${name}/${dirname(entry)}`;
      serveFolder(site, folder);
      imports[name] = `/node_modules/${name}/${entry}`;
      // One of them names its own modules as Node's older loader wants it.
      for (const file of readdirSync(join(root, folder), { recursive: true }).map(String))
        if (file.endsWith(".js"))
          imports[`/${folder}/${file.replace(/(\/index)?\.js$/, "")}`] = `/${folder}/${file}`;
    }
    site.addFile(
      "/",
      `<!doctype html><meta charset="utf-8"><script type="importmap">${JSON.stringify({ imports })}</script>
      <script type="module">
        import { MemoryObjectStore } from "/dist/index.js";
        import { Database } from "/dist/vfs-browser.js";
        ${APPLICATION}
      </script>`,
    );
  });
  afterAll(() => site.close());

  it("a page opens a database on its own thread and queries it", async (context) => {
    needsBuild(context);
    const { bridge, rows, faults } = await runOn(context, site, "/", { worker: false });
    expect({ bridge, rows }).toEqual({ bridge: "jspi", rows: [["row 8765"]] });
    expect(faults).toBeGreaterThan(0);
  });

  it("the worker, for which no import map counts, is said to be missing", async (context) => {
    needsBuild(context);
    await expect(runOn(context, site, "/", {})).rejects.toThrow(
      /the script of the SQL worker could not be loaded/,
    );
  });
});

describe("built by Vite", () => {
  let site: Site;
  const folder = join(root, "node_modules", ".cache", "pagefold-tests");
  let place: string | undefined;

  beforeAll(async () => {
    site = await Site.start();
    if (!BUILT) return;
    mkdirSync(folder, { recursive: true });
    place = mkdtempSync(join(folder, "vite-"));
    writeFileSync(join(place, "index.html"), '<!doctype html><script type="module" src="/main.js"></script>');
    writeFileSync(
      join(place, "main.js"),
      `import { MemoryObjectStore } from "pagefold"; import { Database } from "pagefold/vfs"; ${APPLICATION}`,
    );
    await buildWithVite(place);
    serveFolder(site, relative(root, join(place, "out")), "");
  });
  afterAll(async () => {
    await site.close();
    if (place !== undefined) rmSync(place, { recursive: true, force: true });
  });

  for (const worker of [true, false]) {
    it(`an application runs SQL ${worker ? "in the worker, which it finds" : "on its own thread"}`, async (context) => {
      needsBuild(context);
      const { bridge, rows, faults } = await runOn(context, site, "/index.html", { worker });
      expect({ bridge, rows }).toEqual({ bridge: "jspi", rows: [["row 8765"]] });
      expect(faults).toBeGreaterThan(0);
    });
  }
});

/** The Vite that vitest brings. */
async function buildWithVite(place: string): Promise<void> {
  const require = createRequire(createRequire(import.meta.url).resolve("vitest/package.json"));
  const { build } = (await import(pathToFileURL(require.resolve("vite")).href)) as {
    build(config: object): Promise<unknown>;
  };
  await build({
    root: place,
    configFile: false,
    logLevel: "error",
    resolve: {
      alias: [
        { find: /^pagefold$/, replacement: join(root, "dist", "index.js") },
        { find: /^pagefold\/vfs$/, replacement: join(root, "dist", "vfs-browser.js") },
      ],
    },
    build: { outDir: "out", target: "esnext" },
  });
}
