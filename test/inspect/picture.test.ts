/** What the pictures compute before they draw: places, keys, shares, words. */
import { describe, expect, it } from "vitest";
import { bytesText } from "../../server/bytes-text.ts";
import { inspectionHtml } from "../../server/inspect/html.ts";
import { stateParts, tableParts } from "../../server/inspect/picture/cell-parts.ts";
import type { Palette, Rgb } from "../../server/inspect/picture/colours.ts";
import { gridFor, keyTarget } from "../../server/inspect/picture/grid.ts";
import { lagText } from "../../server/inspect/picture/lag-text.ts";
import { msText, pagesText, shareText } from "../../server/inspect/picture/words.ts";
import { summary } from "../../server/inspect/summary.ts";
import type { Inspection, TableFigures } from "../../src/inspect/inspection.ts";
import type { Residency } from "../../src/inspect/residency.ts";

const grey: Rgb = [128, 128, 128];
const palette: Palette = {
  states: {
    ...{ absent: [1, 0, 0], prefetched: [2, 0, 0], resident: [3, 0, 0] },
    ...{ hot: [4, 0, 0], dirty: [5, 0, 0], unwritten: [6, 0, 0] },
  },
  tables: Array.from({ length: 11 }, (_, i): Rgb => [0, 10 * i, 0]),
  surface: [0, 0, 0],
  mark: grey,
};

const map: Residency = {
  ...{ lsn: 3, pageSize: 4096, pageCount: 100, pagesPerCell: 64, cells: 2 },
  ...{
    absent: [60, 0],
    prefetched: [0, 0],
    resident: [3, 0],
    hot: [0, 0],
    dirty: [1, 0],
    unwritten: [0, 36],
  },
  totals: { absent: 60, prefetched: 0, resident: 3, hot: 0, dirty: 1, unwritten: 36 },
};

describe("the grid", () => {
  it("holds every cell, within the width it is given, as large as the height allows", () => {
    for (const width of [1, 40, 296, 640, 1068]) {
      for (const cells of [0, 1, 7, 2049, 4096, 65_536]) {
        const { columns, rows, size } = gridFor(cells, width);
        expect(columns * rows).toBeGreaterThanOrEqual(cells);
        expect(size).toBeGreaterThanOrEqual(3);
        if (width >= 16) expect(columns * size).toBeLessThanOrEqual(width);
      }
    }
    expect(gridFor(4096, 1068).size).toBeGreaterThan(gridFor(4096, 296).size);
  });

  it("is walked by keys, and not left by them", () => {
    expect(keyTarget("ArrowRight", -1, 100, 10)).toBe(0);
    expect(keyTarget("ArrowRight", 5, 100, 10)).toBe(6);
    expect(keyTarget("ArrowRight", 99, 100, 10)).toBe(99);
    expect(keyTarget("ArrowLeft", 0, 100, 10)).toBe(0);
    expect(keyTarget("ArrowDown", 5, 100, 10)).toBe(15);
    expect(keyTarget("ArrowDown", 95, 100, 10)).toBe(95);
    expect(keyTarget("ArrowUp", 15, 100, 10)).toBe(5);
    expect(keyTarget("PageDown", 50, 100, 10)).toBe(99);
    expect(keyTarget("PageUp", 50, 100, 10)).toBe(0);
    expect(keyTarget("Home", 50, 100, 10)).toBe(0);
    expect(keyTarget("End", 50, 100, 10)).toBe(99);
    expect(keyTarget("Escape", 50, 100, 10)).toBe(-1);
    expect(keyTarget("Tab", 50, 100, 10)).toBeUndefined();
  });
});

describe("a cell", () => {
  it("shows its pages by state; one among many is not lost", () => {
    const parts = stateParts(map, 0, palette);
    expect(parts.map(({ colour }) => colour[0])).toEqual([5, 3, 1]);
    expect(parts.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
    expect(parts[0]!.share).toBeGreaterThan(0.1);
    expect(parts[2]!.share).toBeGreaterThan(0.5);
    expect(stateParts(map, 1, palette)).toEqual([{ colour: [6, 0, 0], share: 1 }]);
  });

  it("shows whose pages they are, those that are absent as a tint", () => {
    const tables: TableFigures = {
      ...{ lsn: 3, pagesPerCell: 64, cells: [2, -1], otherPages: 1 },
      tables: ["a", "b", "c"].map((name) => ({ name, pages: 10 })),
    };
    const [here, away] = tableParts(map, tables, 0, palette);
    expect(here!.colour).toEqual([0, 20, 0]);
    expect(away!.colour[1]).toBeLessThan(20);
    expect(away!.colour[1]).toBeGreaterThan(0);
    expect(tableParts(map, tables, 1, palette)).toEqual([{ colour: palette.states.absent, share: 1 }]);
    const late = { ...tables, cells: [57, -1] };
    expect(tableParts(map, late, 0, palette)[0]!.colour).toEqual([0, 100, 0]);
  });
});

describe("words", () => {
  it("say figures as people read them", () => {
    expect([0, 1023, 1536, 200 * 2 ** 20].map(bytesText)).toEqual(["0 B", "1023 B", "1.5 KB", "200 MB"]);
    expect([0.25, 99.94, 250, 12_345].map(msText)).toEqual(["0.3 ms", "99.9 ms", "250 ms", "12.3 s"]);
    expect(shareText(0, 10)).toBe("0 %");
    expect(shareText(1, 100_000)).toBe("< 0.1 %");
    expect(shareText(99_999, 100_000)).toBe("99 %");
    expect(shareText(10, 10)).toBe("100 %");
    expect(shareText(1, 0)).toBe("0 %");
    expect(pagesText(1, 1)).toBe("page 1");
    expect(pagesText(1000, 1001)).toBe("pages 1,000 to 1,001");
  });

  it("say where a side stands", () => {
    const lag = { state: "clean", lsn: 3, remoteLsn: 3, ahead: 0, behind: 0, pendingPush: false } as const;
    expect(lagText(lag)).toBe("at the newest commit, 3");
    expect(lagText({ ...lag, state: "diverged", remoteLsn: 5, ahead: 1, behind: 2, pendingPush: true })).toBe(
      "2 commits behind 5, 1 local commit not pushed, an unfinished push",
    );
  });
});

const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(2)> & "quotes" \u2028`;

function inspectionOf(name: string): Inspection {
  return {
    ...{
      format: "pagefold-inspection",
      version: 1,
      name,
      store: `file:///${name}`,
      takenAt: 1_700_000_000_000,
    },
    ...{ volume: "0000000000000000000000000a", pageSize: 4096, lsn: 3, localCommits: 1, byteLength: 409_600 },
    ...{ asked: true, residency: map, commits: [] },
    lag: { state: "ahead", lsn: 3, remoteLsn: 3, ahead: 1, behind: 0, pendingPush: false },
    query: null,
    history: {
      ...{ floorLsn: 2, floorTime: 1_700_000_000_000, keptBelowCount: 1, keptBelow: [{ lsn: 1, time: 5 }] },
      ...{ checkpointCount: 1, checkpoints: [{ lsn: 2, time: 6 }] },
      segments: { count: 3, storedBytes: 3 * 2 ** 20, pages: 300, livePages: 200 },
    },
    tables: { lsn: 3, pagesPerCell: 64, cells: [0, -1], otherPages: 3, tables: [{ name, pages: 97 }] },
  };
}

describe("the file", () => {
  it("holds the very data, and whatever a name is, no markup of it", () => {
    const inspection = inspectionOf(hostile);
    const html = inspectionHtml(inspection, "draw();");
    expect(html.match(/<script/g)).toHaveLength(2);
    expect(html.match(/<\/script/g)).toHaveLength(2);
    expect(html).not.toContain("<img");
    const json = /<script type="application\/json" id="inspection">(.*?)<\/script>/s.exec(html)?.[1];
    expect(JSON.parse(json ?? "")).toEqual(inspection);
  });

  it("allows nothing but its own style and script", () => {
    const html = inspectionHtml(inspectionOf("shop"), "draw();");
    const policy = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(html)?.[1] ?? "";
    expect(policy).toMatch(/^default-src 'none'; script-src 'sha256-[A-Za-z0-9+/=]{44}'; style-src 'sha256-/);
    expect(html).not.toMatch(/(?:src|href)=/);
    expect(() => inspectionHtml(inspectionOf("shop"), 'x = "</script>"')).toThrow("script");
  });
});

describe("the summary", () => {
  it("keeps a terminal from whatever a name holds", () => {
    const text = summary(inspectionOf("red\u001b[31m\nname"));
    expect(text).toContain("red\\u001b[31m\\nname");
    expect(text).not.toContain("\u001b");
    expect(text).toMatch(/^remote +1 local commit not pushed$/m);
    expect(text).toMatch(
      /^kept +every state from LSN 2 on; below that LSN 1; 1 checkpoint; compacted into 3 segments of 3(\.0)? MB$/m,
    );
    expect(text).toMatch(/^absent +60 +60 % +240 KB$/m);
  });
});
