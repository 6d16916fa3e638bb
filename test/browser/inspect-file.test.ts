/** The file that `pagefold inspect --html` writes, in a real browser: it draws, answers the keyboard, asks nothing of the network, runs nothing of the data. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { inspectionHtml } from "../../server/inspect/html.ts";
import type { Inspection } from "../../src/inspect/inspection.ts";
import { root } from "./root.ts";
import { requireChromium } from "./shared-chromium.ts";

let folder: string;
let script: string;
const pages: Page[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pagefold-inspect-"));
  const { outputFiles } = await build({
    entryPoints: [join(root, "server/inspect/picture/main.ts")],
    ...{ bundle: true, format: "esm", platform: "browser", target: "es2022", write: false },
  });
  script = outputFiles[0]?.text.trim() ?? "";
});

afterEach(async () => {
  await Promise.all(pages.splice(0).map((page) => page.close()));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const hostile = `</script><img src="http://127.0.0.1:9/x" onerror="document.title='run'"><b>`;
const cells = 200;
const filled = (value: (cell: number) => number): number[] =>
  Array.from({ length: cells }, (_, i) => value(i));

function inspection(): Inspection {
  const fault = {
    startMs: 1,
    durationMs: 5,
    firstPage: 5,
    lastPage: 5,
    pages: 1,
    prefetchedPages: 15,
    failed: false,
  };
  const request = {
    startMs: 2,
    durationMs: 3,
    operation: "get" as const,
    kind: "segments",
    key: hostile,
    bytes: 9000,
  };
  return {
    ...{
      format: "pagefold-inspection",
      version: 1,
      name: hostile,
      store: hostile,
      takenAt: 1_700_000_000_000,
    },
    ...{ volume: "v", pageSize: 4096, lsn: 2, localCommits: 0, byteLength: 4096 * cells, asked: true },
    lag: { state: "clean", lsn: 2, remoteLsn: 2, ahead: 0, behind: 0, pendingPush: false },
    residency: {
      ...{ lsn: 2, pageSize: 4096, pageCount: cells, pagesPerCell: 1, cells },
      absent: filled((i) => (i < 100 ? 0 : 1)),
      prefetched: filled((i) => (i >= 50 && i < 100 ? 1 : 0)),
      resident: filled((i) => (i < 50 ? 1 : 0)),
      ...{ hot: filled(() => 0), dirty: filled(() => 0), unwritten: filled(() => 0) },
      totals: { absent: 100, prefetched: 50, resident: 50, hot: 0, dirty: 0, unwritten: 0 },
    },
    history: {
      ...{ floorLsn: 2, floorTime: 1_700_000_000_000, keptBelowCount: 1, keptBelow: [{ lsn: 1, time: 5 }] },
      ...{ checkpointCount: 1, checkpoints: [{ lsn: 2, time: 6 }] },
      segments: { count: 3, storedBytes: 3 * 2 ** 20, pages: 300, livePages: 200 },
    },
    commits: [2, 1].map((lsn) => ({
      ...{
        lsn,
        time: 1_700_000_000_000,
        pages: 3,
        zeroedPages: 0,
        restoredPages: 0,
        restoredFrom: null,
        pageCount: cells,
        byteLength: 4096 * cells,
      },
      ...{ storedBytes: 5000, hash: "00", placed: "inline" as const, segmentCount: 1, segments: [] },
      ...{ ranges: [[1, 3]] as const, blockPages: 1 },
    })),
    query: {
      ...{ label: `SELECT '${hostile}'`, startedAt: 1_700_000_000_000, durationMs: 9 },
      faults: [fault],
      requests: [{ ...request, offset: 0, failed: false }],
      totals: { faults: 1, faultMs: 5, pages: 1, prefetchedPages: 15, requests: 1, bytes: 9000 },
    },
    tables: {
      ...{ lsn: 2, pagesPerCell: 1, otherPages: 0, cells: filled((i) => (i < 150 ? 0 : 1)) },
      tables: [
        { name: hostile, pages: 150 },
        { name: "small", pages: 50 },
      ],
    },
  };
}

interface Opened {
  readonly page: Page;
  /** What went wrong, and every request but that for the file. */
  readonly complaints: readonly string[];
}

async function open(context: { skip(reason: string): unknown }, width = 1000): Promise<Opened> {
  const chromium = await requireChromium(context);
  const file = join(folder, `${width}.html`);
  await writeFile(file, inspectionHtml(inspection(), script));
  const page = await chromium.context.newPage();
  pages.push(page);
  await page.setViewportSize({ width, height: 800 });
  const complaints: string[] = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    if (request.url() !== pathToFileURL(file).href) complaints.push(request.url());
  });
  await page.goto(pathToFileURL(file).href);
  await page.locator("canvas").waitFor();
  return { page, complaints };
}

/** How many colours the map has, its gaps aside: that it was drawn. */
function coloursOf(page: Page): Promise<number> {
  return page.locator("canvas").evaluate((canvas: HTMLCanvasElement) => {
    const context = canvas.getContext("2d")!;
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Map<number, number>();
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] !== 255) continue;
      const colour = (data[i]! << 16) | (data[i + 1]! << 8) | data[i + 2]!;
      seen.set(colour, (seen.get(colour) ?? 0) + 1);
    }
    return [...seen.values()].filter((count) => count > 500).length;
  });
}

describe("the file of an inspection", () => {
  it("draws map, waterfall and log, and says the same in text", async (context) => {
    const { page, complaints } = await open(context);
    expect(await page.locator("[data-state=absent]").textContent()).toBe("100");
    expect(await page.locator("canvas").getAttribute("aria-label")).toContain("200 pages");
    await expect.poll(() => coloursOf(page)).toBe(3);
    expect(await page.locator(".waterfall tbody tr").count()).toBe(2);
    expect(await page.locator(".waterfall-summary").textContent()).toContain(
      "1 fault for 1 page and 15 pages read ahead",
    );
    expect(
      await page.locator(".waterfall .bar.fault").evaluate((bar) => bar.getBoundingClientRect().width),
    ).toBeGreaterThan(50);
    expect(await page.locator(".log tbody tr").count()).toBe(2);
    expect(complaints).toEqual([]);
  });

  it("shows hostile names as text, and runs nothing of them", async (context) => {
    const { page, complaints } = await open(context);
    expect(await page.locator("h1").textContent()).toBe(`${hostile} at LSN 2`);
    expect(await page.locator("img, b").count()).toBe(0);
    expect(await page.title()).toBe(`${hostile} at LSN 2`);
    await page.getByLabel("by table").check();
    expect(await page.locator(".map-legend .name").first().textContent()).toBe(hostile);
    await expect.poll(() => coloursOf(page)).toBeGreaterThanOrEqual(3);
    expect(complaints).toEqual([]);
  });

  it("is walked with the keyboard", async (context) => {
    const { page } = await open(context);
    const detail = page.locator(".map-detail");
    await page.locator("canvas").focus();
    await page.keyboard.press("Home");
    expect(await detail.textContent()).toBe(`page 1, ${hostile}: resident`);
    await page.keyboard.press("End");
    expect(await detail.textContent()).toBe("page 200, small: absent");
    await page.keyboard.press("ArrowLeft");
    expect(await detail.textContent()).toContain("page 199");
    await page.keyboard.press("Tab");
    expect(await detail.textContent()).toBe("Arrow keys move from block to block.");
  });

  it("fits a phone", async (context) => {
    const { page } = await open(context, 360);
    await expect.poll(() => coloursOf(page)).toBe(3);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
  });
});
