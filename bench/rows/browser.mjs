/** A cold point query in Chromium over loopback, storage empty, the page loaded: against three bare fetch calls, one after the other. */
import { serveSocial } from "../browser/social.mjs";
import { inPairs } from "../lib/measure.mjs";

const sql = "SELECT name FROM users WHERE id = 12345";
const frameBytes = 30_000;

export async function browserRows() {
  // Another origin than the page's, so that nothing lies between the two.
  const served = await serveSocial(["--cors", "*"]);
  if ("unavailable" in served) return [{ row: "cold point query, Chromium", skipped: served.unavailable }];
  const { chromium, server, site } = served;
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
    await served.close();
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
