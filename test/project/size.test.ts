/**
 * What a page must load to open a database of a store and read it: the minified scripts of `pagefold/browser` as they are served, gzipped, without
 * sqlite-wasm (its JavaScript and its WebAssembly). Built here from the sources; the files are found by walking what the two entries import;
 * test/browser/bundlers.test.ts sees that Chromium loads no others.
 */
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { type Bundled, buildBrowserBundle } from "../../browser.config.ts";

/**
 * Bytes. What is held now, with a little room; the aim of 60,000 is not met. Of it 15,000 are the hashes and fzstd; and the functions alone that an opening and
 * a query really enter, by coverage, would be some 70,000: less needs another engine, one that only reads. 6,000
 * are what it takes to open from a checkpoint, and to find pages whose commits were collected.
 */
const MOST_TO_READ = 110_000;

const gzipped = (code: string): number => gzipSync(code, { level: 9 }).length;

/** The files that come with an entry, before anything is asked for. */
function atOnce({ entry, chunks }: Bundled): Map<string, number> {
  const sizes = new Map<string, number>();
  const visit = (name: string): void => {
    const chunk = chunks.find(({ fileName }) => fileName === name);
    if (chunk === undefined || sizes.has(name)) return;
    sizes.set(name, gzipped(chunk.code));
    for (const imported of chunk.imports) visit(imported);
  };
  visit(entry.fileName);
  return sizes;
}

describe("what a page loads", () => {
  let scripts: readonly Bundled[];
  beforeAll(async () => {
    scripts = await buildBrowserBundle({ external: ["@sqlite.org/sqlite-wasm"] });
  });

  it(`to read, is at most ${MOST_TO_READ} bytes of JavaScript, gzipped`, () => {
    const sizes = scripts.flatMap((script) => [...atOnce(script)]);
    const total = sizes.reduce((sum, [, size]) => sum + size, 0);
    const table = sizes.map(([name, size]) => `${String(size).padStart(7)}  ${name}`).join("\n");
    console.log(`to open a database and read it, gzipped:\n${table}\n${String(total).padStart(7)}  together`);
    expect(sizes.length).toBeGreaterThan(1);
    expect(total).toBeLessThanOrEqual(MOST_TO_READ);
  });

  it("has nothing in it that only writing, storing, sharing or other bridges need", () => {
    const modules = scripts.flatMap((script) => {
      const names = atOnce(script);
      return script.chunks
        .filter(({ fileName }) => names.has(fileName))
        .flatMap(({ moduleIds }) => moduleIds);
    });
    const unwanted =
      /zstd-wasm|idb-keyval|src\/(browser\/(opfs|idb|storage)|file\/(import|export)|history|inspect|local\/disk-tier|replicate\/(push|commit-writer|past|hydrate|bulk))|vfs\/(web\/tabs|session\/(live|volume-calls)|bridge\/(shared-memory|sync-xhr)|sqlite\/pagefold-pragmas)/;
    expect(modules.length).toBeGreaterThan(100);
    expect(modules.filter((name) => unwanted.test(name))).toEqual([]);
  });
});
