/**
 * The same six queries as other ways to query a database by HTTP, in Chromium: from opening to the rows, with nothing cached; time, requests for data
 * and bytes. Scripts and wasm are loaded without latency by all.
 */
import { installedPeers, peerNames } from "../browser/build.mjs";
import { serveSocial } from "../browser/social.mjs";
import { socialQueries } from "../data/social.mjs";
import { median } from "../lib/measure.mjs";
import { pairs } from "../lib/setup.mjs";

const latencies = [0, 40];

export async function peersRows() {
  const peers = installedPeers();
  if (peers.length === 0)
    return [{ row: "queries by HTTP, Chromium", skipped: "no peers: `npm run bench:setup` installs them" }];
  const served = await serveSocial();
  if ("unavailable" in served) return [{ row: "queries by HTTP, Chromium", skipped: served.unavailable }];
  const { chromium, site } = served;
  try {
    const rows = [];
    for (const latencyMs of latencies) {
      site.latencyMs = latencyMs;
      for (const query of socialQueries) rows.push(...(await compare(chromium, site, peers, query)));
    }
    return rows;
  } finally {
    await served.close();
  }
}

async function compare(chromium, site, peers, query) {
  const runs = new Map(["pagefold", ...peers].map((name) => [name, []]));
  // In turns, so that whatever else the machine does falls on all.
  for (let i = 0; i < pairs; i++) {
    for (const name of [...runs.keys()].sort(() => (i % 2 === 0 ? 1 : -1)))
      runs.get(name).push(await once(chromium, site, name, query.sql));
  }
  const ours = runs.get("pagefold");
  return peers.flatMap((name) => {
    const theirs = runs.get(name);
    sameRows(query.name, ours[0].rows, theirs[0].rows);
    const row = `${query.name}, ${site.latencyMs} ms`;
    const of = (figure) => ({
      ours: median(ours.map((each) => each[figure])),
      reference: median(theirs.map((each) => each[figure])),
      ratio: median(ours.map((each, i) => each[figure] / theirs[i][figure])),
      against: peerNames[name],
    });
    return [
      { row, unit: "ms", limit: 1, ...of("ms") },
      { row: `${row}: requests`, unit: "", limit: 1, ...of("requests") },
      { row: `${row}: bytes`, unit: "KiB", ...of("kib") },
    ];
  });
}

async function once(chromium, site, name, sql) {
  const { page } = await chromium.open(`${site.origin}/${name}.html`);
  try {
    await page.waitForFunction(() => window.ready === true);
    site.requests = 0;
    site.bytes = 0;
    const { ms, rows } = await page.evaluate(async (text) => {
      const start = performance.now();
      const db = await window.openIt();
      const rows = await db.query(text);
      return { ms: performance.now() - start, rows: JSON.parse(JSON.stringify(rows)) };
    }, sql);
    return { ms, rows, requests: site.requests, kib: site.bytes / 1024 };
  } finally {
    await page.close();
  }
}

function sameRows(name, a, b) {
  const text = (rows) => JSON.stringify(rows.map((row) => Object.values(row)));
  if (text(a) !== text(b) || a.length === 0)
    throw new Error(
      `${name}: other rows than the peer's: ${text(a).slice(0, 200)} and ${text(b).slice(0, 200)}`,
    );
}
