/** A cold point query in Chromium over loopback, storage empty, the page loaded: against three bare fetch calls, one after the other. */
import { join } from "node:path";
import { buildPages } from "../browser/build.mjs";
import { launch } from "../browser/chromium.mjs";
import { startSite } from "../browser/site.mjs";
import { socialDatabase } from "../data/social.mjs";
import { inPairs } from "../lib/measure.mjs";
import { run } from "../lib/process.mjs";
import { cli, scratch } from "../lib/setup.mjs";
import { startServer } from "./peers.mjs";

const sql = "SELECT name FROM users WHERE id = 12345";
const frameBytes = 30_000;

export async function browserRows() {
  const database = await socialDatabase();
  const folder = scratch();
  await run(process.execPath, [
    cli,
    "import",
    database,
    "--tag",
    "social",
    "--store",
    join(folder, "store"),
    "--quiet",
  ]);
  await buildPages(join(folder, "pages"));
  const chromium = await launch();
  if ("unavailable" in chromium)
    return [{ row: "cold point query, Chromium", skipped: chromium.unavailable }];
  // Another origin than the page's, so that nothing lies between the two.
  const server = await startServer(join(folder, "store"), ["--cors", "*"]);
  const site = await startSite({ folder: join(folder, "pages"), database, serverUrl: server.url });
  const onPage = async (work, ...args) => {
    const { page } = await chromium.open(`${site.origin}/pagefold.html`);
    try {
      await page.waitForFunction(() => window.ready === true);
      return await page.evaluate(work, ...args);
    } finally {
      await page.close();
    }
  };
  const fetches = (bytes) => onPage(threeFetches, bytes);
  try {
    const query = await inPairs({
      pairs: 11,
      warmUp: 1,
      ours: () => onPage(coldQuery, { sql, opened: true, url: server.url }),
      reference: () => fetches(frameBytes),
    });
    const opening = await inPairs({
      pairs: 11,
      warmUp: 1,
      ours: () => onPage(coldQuery, { sql, opened: false, url: server.url }),
      reference: () => fetches(frameBytes),
    });
    const against = "three bare fetch calls";
    return [
      { row: "cold point query, Chromium", unit: "ms", limit: 2, against, ...query },
      { row: "opening and the query, Chromium", unit: "ms", against, ...opening },
    ];
  } finally {
    await site.close();
    server.stop();
    await chromium.close();
  }
}

async function coldQuery({ sql, opened, url }) {
  let start = performance.now();
  const db = await window.openIt(url);
  if (opened) start = performance.now();
  const rows = await db.query(sql);
  const ms = performance.now() - start;
  if (rows.length !== 1) throw new Error("no row");
  await db.close();
  return ms;
}

async function threeFetches(bytes) {
  const start = performance.now();
  for (let i = 0; i < 3; i++) {
    const response = await fetch(`/bare?bytes=${bytes}`, { cache: "no-store" });
    if ((await response.arrayBuffer()).byteLength !== bytes) throw new Error("another length");
  }
  return performance.now() - start;
}
