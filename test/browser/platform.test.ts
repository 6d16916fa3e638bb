/** The browser that the other tests here stand on: what it has, with and without cross-origin isolation, in pages and in workers. */
import { describe, expect, it } from "vitest";
import type * as platform from "./pages/platform.ts";
import { useBrowser } from "./run-in-page.ts";

for (const isolated of [true, false]) {
  const browser = useBrowser({ pages: ["platform"], isolated });

  describe(isolated ? "a cross-origin isolated site" : "a plain site", () => {
    for (const where of ["page", "worker"] as const) {
      it(`a ${where} has JSPI, locks and IndexedDB${isolated ? " and shared memory" : ", no shared memory"}`, async (context) => {
        const tab = await browser.open(context);
        expect(await tab.module<typeof platform>("platform", { where }).platform()).toEqual({
          worker: where === "worker",
          isolated,
          sharedMemory: isolated,
          jspi: true,
          locks: true,
          indexedDb: true,
          syncHandles: where === "worker",
        });
      });

      it(`sqlite-wasm loads in a ${where}`, async (context) => {
        const tab = await browser.open(context);
        expect(await tab.module<typeof platform>("platform", { where }).sqliteVersion()).toBe("3.54.1");
      });
    }

    it("a worker's OPFS file is there for other tabs of the site", async (context) => {
      const [first, second] = [await browser.open(context), await browser.open(context)];
      const file = { name: "note", text: "left in the private file system" };
      expect(await first.module<typeof platform>("platform", { where: "worker" }).syncHandle(file)).toBe(
        file.text,
      );
      expect(await second.module<typeof platform>("platform").readPrivateFile(file)).toBe(file.text);
    });
  });
}
