/** What is answered below /demo/, without a socket: the page's files, and table maps as they are made. */
import { describe, expect, it } from "vitest";
import { demoAnswer } from "../../server/demo/routes.ts";
import { TableMaps } from "../../server/demo/table-maps.ts";
import { openState } from "../../server/inspect/one-state.ts";
import type { TableFigures } from "../../src/inspect/inspection.ts";
import { importInto, memoryRemote } from "../vfs/remotes.ts";
import { sampleDatabase } from "../vfs/sample.ts";

const assets = new Map(
  Object.entries({ "": "text/html; charset=utf-8", "page.js": "text/javascript; charset=utf-8" }).map(
    ([path, type]) => [path, { type, bytes: new TextEncoder().encode(path || "page"), etag: `"${path}"` }],
  ),
);
const noTables = new TableMaps(async () => {
  throw new Error("nobody asked for tables");
});

function ask(path: string, init: RequestInit = {}, tables = noTables): Response | undefined {
  return demoAnswer({ assets, tables }, new Request(`http://127.0.0.1${path}`, init));
}

describe("files", () => {
  it("are served with their types, isolated, and the page with a policy", async () => {
    const page = ask("/demo/");
    expect(page?.status).toBe(200);
    expect(page?.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(page?.headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/,
    );
    const script = ask("/demo/page.js");
    expect(await script?.text()).toBe("page.js");
    for (const answer of [page, script]) {
      expect(answer?.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
      expect(answer?.headers.get("cross-origin-opener-policy")).toBe("same-origin");
      expect(answer?.headers.has("content-encoding")).toBe(false);
    }
  });

  it("are sent once: 304 for the one that is known, no body for HEAD", async () => {
    const known = ask("/demo/page.js", { headers: { "if-none-match": '"page.js"' } });
    expect(known?.status).toBe(304);
    expect(ask("/demo/page.js", { headers: { "if-none-match": '"other"' } })?.status).toBe(200);
    const head = ask("/demo/page.js", { method: "HEAD" });
    expect(head?.headers.get("content-length")).toBe("7");
    expect(await head?.text()).toBe("");
  });

  it("what is none is not found, what is not the demo's is left to the server", async () => {
    for (const path of ["/demo/none", "/demo/browser/../../package.json.js", "/demo/%2e%2e/x"]) {
      const answer = ask(path);
      if (path.includes("..") || path.includes("%2e"))
        expect(answer === undefined || answer.status === 404).toBe(true);
      else expect(await answer?.json()).toMatchObject({ status: 404, code: "not_found" });
    }
    expect(ask("/v1")).toBeUndefined();
    expect(ask("/volumes/x")).toBeUndefined();
    expect(ask("/")).toBeUndefined();
    expect(ask("/", { headers: { accept: "text/html" } })?.headers.get("location")).toBe("/demo/");
    expect(ask("/demo")?.headers.get("location")).toBe("/demo/");
    expect(ask("/demo/page.js", { method: "POST" })?.status).toBe(405);
  });
});

describe("tables", () => {
  /** Maps of the sample database, and how often it was opened. */
  async function sampleMaps() {
    const remote = memoryRemote();
    await importInto(remote, await sampleDatabase());
    const opens: number[] = [];
    const maps = new TableMaps((lsn, signal) => {
      opens.push(lsn);
      return openState(remote.store, "db", lsn, signal);
    });
    return { maps, opens };
  }

  type Line = { done?: number; total?: number; figures?: TableFigures; error?: { code: string } };

  async function linesOf(answer: Response | undefined): Promise<Line[]> {
    const text = (await answer?.text()) ?? "";
    return text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
  }

  it("come with progress, once for everybody who asks at a time, and at once when they are known", async () => {
    const { maps, opens } = await sampleMaps();
    const query = "/demo/tables?lsn=1&pagesPerCell=16";
    const [one, two] = await Promise.all([linesOf(ask(query, {}, maps)), linesOf(ask(query, {}, maps))]);
    expect(opens).toEqual([1]);
    expect(
      one
        .at(-1)
        ?.figures?.tables.map(({ name }) => name)
        .sort(),
    ).toEqual(["sqlite_schema", "t", "ti"]);
    expect(one.length).toBeGreaterThan(1);
    expect(one[0]).toMatchObject({ total: expect.any(Number), done: expect.any(Number) });
    expect(two.at(-1)).toEqual(one.at(-1));
    expect(await linesOf(ask(query, {}, maps))).toEqual([one.at(-1)]);
    expect(opens).toEqual([1]);
  });

  it("of a commit that is none are an error in the answer; what is no question is refused", async () => {
    const { maps } = await sampleMaps();
    const lines = await linesOf(ask("/demo/tables?lsn=99&pagesPerCell=16", {}, maps));
    expect(lines).toMatchObject([{ error: { code: "not_found" } }]);
    for (const query of [
      "",
      "lsn=0&pagesPerCell=1",
      "lsn=1",
      "lsn=1&pagesPerCell=3",
      "lsn=x&pagesPerCell=1",
      "lsn=1e3&pagesPerCell=1",
    ])
      expect(ask(`/demo/tables?${query}`)?.status, query).toBe(400);
  });

  it("that nobody waits for any more are given up, and made anew for the next", async () => {
    const { maps, opens } = await sampleMaps();
    const gone = new AbortController();
    const onProgress = (): void => gone.abort();
    await expect(maps.get(1, 8, { signal: gone.signal, onProgress })).rejects.toMatchObject({
      code: "aborted",
    });
    const figures = await maps.get(1, 8, { onProgress: () => {} });
    expect(figures.pagesPerCell).toBe(8);
    expect(opens).toEqual([1, 1]);
    // Whoever closes the answer in the middle is one of those.
    const reader = ask("/demo/tables?lsn=1&pagesPerCell=4", {}, maps)?.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    expect((await maps.get(1, 4, { onProgress: () => {} })).pagesPerCell).toBe(4);
  });
});
