/**
 * The core in a real browser, in a page and in a module worker, over HTTP: its own suite, and volumes that cross between the browser and
 * Node, which must be the same bytes on both sides.
 */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { PageStore } from "../../src/index.ts";
import { testBytes } from "./pages/checks.ts";
import * as core from "./pages/core.ts";
import { pageSuite, useBrowser } from "./run-in-page.ts";

describe("the core", () => {
  const browser = useBrowser({ pages: ["core"] });
  for (const where of ["page", "worker"] as const) {
    pageSuite(browser, "core", core.suite, { where });

    it(`a volume that Node pushed is the same in a ${where}`, async (context) => {
      const tab = await browser.open(context);
      const bytes = testBytes(300_000, 11);
      const store = await PageStore.open({ remote: (await browser.site()).objects() });
      const volume = await store.createVolume({ tag: `node-${where}` });
      await volume.write(0, bytes);
      await volume.push();
      await store.close();
      const seen = await tab.module<typeof core>("core", { where }).readVolume({ tag: `node-${where}` });
      expect(seen).toEqual({ checksum: createHash("sha256").update(bytes).digest("hex"), lsn: 1 });
    });

    it(`a volume that a ${where} pushed is the same in Node`, async (context) => {
      const tab = await browser.open(context);
      const what = { tag: `browser-${where}`, length: 300_000, seed: 12 };
      const { lsn } = await tab.module<typeof core>("core", { where }).writeVolume(what);
      const store = await PageStore.open({ remote: (await browser.site()).objects() });
      const volume = await store.volume(what.tag);
      expect((await volume.verify()).lsn).toBe(lsn);
      expect(Buffer.compare(await volume.read(0, what.length), testBytes(what.length, what.seed))).toBe(0);
      await store.close();
    });
  }

  it("invariant 7: damage in the store is found in the page", async (context) => {
    const tab = await browser.open(context);
    const page = tab.module<typeof core>("core");
    const objects = (await browser.site()).objects();
    const { volume } = await page.writeVolume({ tag: "damaged", length: 200_000, seed: 13 });
    const [commit] = await objects.list(`volumes/${volume}/commits/`);
    const bytes = (await objects.get(commit!.key))!;
    bytes[bytes.length - 5]! ^= 1;
    await objects.put(commit!.key, bytes);
    await expect(page.verifyVolume({ tag: "damaged" })).rejects.toMatchObject({
      name: "PagefoldError",
      code: "corrupt",
    });
  });

  it("an answer that breaks off is asked for again", async (context) => {
    const tab = await browser.open(context);
    const site = await browser.site();
    const page = tab.module<typeof core>("core");
    await page.writeVolume({ tag: "shaky", length: 200_000, seed: 14 });
    let dropped = 0;
    site.intervene = ({ method }) => (method === "GET" && dropped++ % 3 === 0 ? "drop" : undefined);
    try {
      await page.verifyVolume({ tag: "shaky" });
    } finally {
      site.intervene = undefined;
    }
    expect(dropped).toBeGreaterThan(3);
  });
});
