/**
 * Pins what each public entry of the package exports, types included, so that nothing becomes public, or goes, by accident.
 * After an intended change: `PAGEFOLD_UPDATE_EXPORTS=1 npx vitest run test/project/exports.test.ts`, and commit public-exports.json.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { readText, root } from "./source.ts";

const listFile = join(root, "test/project/public-exports.json");
const pinned: Record<string, string[]> = JSON.parse(readFileSync(listFile, "utf8"));
interface Target {
  readonly types: string;
  readonly default: string;
  /** What bundlers for browsers take instead. */
  readonly browser?: Target;
}

const manifest: { exports: Record<string, Target | string> } = JSON.parse(readText("package.json"));

/** The source of each entry, from the build's own list: "./node" → dist/node.js → src/node/index.ts. */
const sources = new Map(
  [...readText("tsup.config.ts").matchAll(/"?([a-z0-9-]+)"?: "((?:src|vfs|server|test)\/[^"]+\.ts)"/g)].map(
    (m) => [m[1] ?? "", m[2] ?? ""],
  ),
);

interface Entry {
  readonly specifier: string;
  readonly source: string;
  readonly built: string;
}

const entries: Entry[] = Object.entries(manifest.exports).flatMap(([path, target]) => {
  if (typeof target === "string") return [];
  const specifier = join("pagefold", path);
  const entry = entryOf(specifier, target);
  return target.browser === undefined ? [entry] : [entry, entryOf(`${specifier} (browser)`, target.browser)];
});

function entryOf(specifier: string, target: Target): Entry {
  const name = target.types.replace(/^\.\/dist\/|\.d\.ts$/g, "");
  return { specifier, source: sources.get(name) ?? "", built: target.default };
}

/** "Name" for what exists at run time, "type Name" for what only the compiler sees; sorted. */
function exportsOf(program: ts.Program, source: string): string[] {
  const checker = program.getTypeChecker();
  const file = program.getSourceFile(join(root, source));
  const module = file === undefined ? undefined : checker.getSymbolAtLocation(file);
  if (module === undefined) return [];
  const names = checker.getExportsOfModule(module).map((symbol) => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    const isValue = (target.flags & ts.SymbolFlags.Value) !== 0 && !isTypeOnly(symbol);
    return isValue ? symbol.name : `type ${symbol.name}`;
  });
  return names.sort((a, b) => (a.replace("type ", "") < b.replace("type ", "") ? -1 : 1));
}

/** `export type { SomeClass }` leaves nothing at run time though a class is a value. */
function isTypeOnly(symbol: ts.Symbol): boolean {
  return (symbol.declarations ?? []).some(
    (declaration) =>
      ts.isExportSpecifier(declaration) && (declaration.isTypeOnly || declaration.parent.parent.isTypeOnly),
  );
}

describe("public exports", () => {
  it("are those of public-exports.json", () => {
    const missing = entries.filter(({ source }) => source === "" || !existsSync(join(root, source)));
    expect(
      missing.map(
        (entry) =>
          `${entry.specifier}: its source ${entry.source || "(not in tsup.config.ts)"} does not exist`,
      ),
    ).toEqual([]);
    const config = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root);
    const program = ts.createProgram(
      entries.map(({ source }) => join(root, source)),
      options,
    );
    const actual = Object.fromEntries(
      entries.map(({ specifier, source }) => [specifier, exportsOf(program, source)]),
    );
    if (process.env.PAGEFOLD_UPDATE_EXPORTS === "1") {
      writeFileSync(listFile, `${JSON.stringify(actual, null, 2)}\n`);
      Object.assign(pinned, actual);
      return;
    }
    expect(actual).toEqual(pinned);
  });

  for (const { specifier, built } of entries) {
    it(`the built ${specifier} has exactly the pinned values`, async () => {
      const path = join(root, built);
      expect(existsSync(path), `${built} is missing: run npm run build first`).toBe(true);
      const values = Object.keys(await import(/* @vite-ignore */ pathToFileURL(path).href)).sort();
      expect(values).toEqual((pinned[specifier] ?? []).filter((name) => !name.startsWith("type ")).sort());
    });
  }
});
