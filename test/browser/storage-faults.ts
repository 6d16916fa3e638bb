/** What befalls a page and its storage from outside: reloads, crashes, quotas, eviction, a network that is gone. Through Chromium's own protocol. */
import type { CDPSession } from "playwright-core";
import type { Tab } from "./run-in-page.ts";
import type { Site } from "./site.ts";

export async function reload(tab: Tab): Promise<void> {
  await tab.watched.page.reload();
}

/** Ends the process of a page, as a defect of the browser or the lack of memory does. */
export async function crash(tab: Tab): Promise<void> {
  const { page } = tab.watched;
  const session = await page.context().newCDPSession(page);
  const crashed = new Promise((resolve) => page.once("crash", resolve));
  session.send("Page.crash").catch(() => {});
  await crashed;
  await tab.close();
}

/** Takes all storage of the page's site away, as a browser does that evicts it. */
export async function evict(tab: Tab): Promise<void> {
  await withSession(tab, (session, origin) =>
    session.send("Storage.clearDataForOrigin", { origin, storageTypes: "all" }),
  );
}

/** Some work while the page's site may use so many bytes of storage. */
export async function withQuota<T>(tab: Tab, bytes: number, work: () => Promise<T>): Promise<T> {
  return withSession(tab, async (session, origin) => {
    await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: bytes });
    try {
      return await work();
    } finally {
      await session.send("Storage.overrideQuotaForOrigin", { origin });
    }
  });
}

/** Cuts every request for objects of a space off. Answers how to end that. */
export function goOffline(site: Site, space: string): () => void {
  const before = site.intervene;
  site.intervene = (request) => (request.space === space ? "drop" : before?.(request));
  return () => {
    site.intervene = before;
  };
}

async function withSession<T>(
  tab: Tab,
  work: (session: CDPSession, origin: string) => Promise<T>,
): Promise<T> {
  const { page } = tab.watched;
  const session = await page.context().newCDPSession(page);
  try {
    return await work(session, new URL(page.url()).origin);
  } finally {
    await session.detach();
  }
}
