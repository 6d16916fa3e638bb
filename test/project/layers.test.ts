import { builtinModules } from "node:module";
import { describe, expect, it } from "vitest";
import {
  coreLayers,
  importProblem,
  isPortable,
  layerOf,
  platformTypes,
  portableGlobals,
  runtimeFile,
} from "./layer-rules.ts";
import { globalsOf, importsOf, readText, root, sourceFiles } from "./source.ts";

const files = ["src", "vfs", "server"].flatMap(sourceFiles);
/** Modules that tests alone use, each with its reason. */
const onlyForTests: readonly string[] = [
  // Schedules for `withFaults`: what applications test with, they write themselves.
  "src/remote/fault-plans.ts",
];
const packages: { dependencies: Record<string, string>; peerDependencies: Record<string, string> } =
  JSON.parse(readText("package.json"));

describe("layers", () => {
  it("there are sources, and every one lies in a layer", () => {
    expect(files.length, `no sources below ${root}`).toBeGreaterThan(0);
    expect(files.filter((file) => layerOf(file) === undefined)).toEqual([]);
  });

  it("imports point downward only", () => {
    const problems: string[] = [];
    for (const file of files) {
      for (const { file: imported, line } of importsOf(file)) {
        const problem = imported === undefined ? undefined : importProblem(file, imported);
        if (problem !== undefined) problems.push(`${file}:${line}: ${problem}`);
      }
    }
    expect(problems).toEqual([]);
  });

  it("the core imports nothing of Node", () => {
    const problems: string[] = [];
    for (const file of files.filter(isPortable)) {
      for (const { specifier, line } of importsOf(file)) {
        const isBuiltin =
          specifier.startsWith("node:") || builtinModules.includes(specifier.split("/")[0] ?? "");
        if (isBuiltin) problems.push(`${file}:${line}: imports ${specifier}`);
      }
    }
    expect(problems).toEqual([]);
  });

  it("the core uses no global of Node or the DOM", () => {
    const problems: string[] = [];
    for (const file of files.filter(isPortable)) {
      if (file === runtimeFile) continue;
      for (const { name, type, line } of globalsOf(file)) {
        const bad = type ? platformTypes.has(name) : !portableGlobals.has(name);
        if (bad) problems.push(`${file}:${line}: uses ${name}; take it from the Runtime or from the caller`);
      }
    }
    expect(problems).toEqual([]);
  });

  it("only declared dependencies are imported, and Node's own modules by their node: names", () => {
    const problems: string[] = [];
    for (const file of files) {
      for (const { specifier, line } of importsOf(file)) {
        if (specifier.startsWith(".") || specifier.startsWith("node:")) continue;
        const name = specifier
          .split("/")
          .slice(0, specifier.startsWith("@") ? 2 : 1)
          .join("/");
        // What an application may go without, only the adapter to it imports.
        const isPeer = layerOf(file) === "vfs/adapters" && packages.peerDependencies[name] !== undefined;
        if (packages.dependencies[name] === undefined && !isPeer)
          problems.push(`${file}:${line}: ${specifier} is no dependency`);
      }
    }
    expect(problems).toEqual([]);
  });

  it("no module is dead: each is reached from an entry point of the build", () => {
    const reached = new Set<string>();
    const visit = (file: string): void => {
      if (reached.has(file) || !files.includes(file)) return;
      reached.add(file);
      for (const { file: imported } of importsOf(file)) if (imported !== undefined) visit(imported);
    };
    const entries = [...readText("tsup.config.ts").matchAll(/"((?:src|vfs|server)\/[^"]+\.ts)"/g)];
    for (const [, entry] of entries) visit(entry ?? "");
    for (const file of onlyForTests) visit(file);
    expect(files.filter((file) => !reached.has(file))).toEqual([]);
  });
});

describe("the checks themselves", () => {
  it("an import upward or sideways is found", () => {
    expect(importProblem("src/base/a.ts", "src/format/b.ts")).toContain("downward");
    expect(importProblem("src/remote/a.ts", "src/local/b.ts")).toContain("downward");
    expect(importProblem("src/local/a.ts", "src/remote/b.ts")).toContain("downward");
    expect(importProblem("src/store/a.ts", "src/node/b.ts")).toContain("downward");
    expect(importProblem("src/store/a.ts", "vfs/index.ts")).toContain("downward");
    expect(importProblem("vfs/index.ts", "server/cli/main.ts")).toContain("downward");
    expect(importProblem("src/node/a.ts", "src/browser/b.ts")).toContain("downward");
    expect(importProblem("vfs/pager.ts", "src/node/index.ts")).toContain("worker");
    expect(importProblem("src/store/a.ts", "src/inspect/b.ts")).toContain("downward");
    expect(importProblem("vfs/index.ts", "vfs/adapters/kysely.ts")).toContain("downward");
    expect(importProblem("src/store/a.ts", "vfs/adapters/kysely.ts")).toContain("downward");
    expect(importProblem("src/base/a.ts", "src/base/b")).toContain(".ts");
    expect(importProblem("vfs/worker/open-engine.ts", "src/node/index.ts")).toBeUndefined();
    expect(importProblem("server/cli/main.ts", "src/node/index.ts")).toBeUndefined();
    expect(importProblem("vfs/adapters/kysely.ts", "vfs/database.ts")).toBeUndefined();
    for (const layer of coreLayers) expect(importProblem(`${layer}/a.ts`, `${layer}/b.ts`)).toBeUndefined();
  });

  it("every form of import is seen", () => {
    const text = `
      import a from "./a.ts"; import "./b.ts"; export * from "./c.ts"; export { d } from "../d.ts";
      type E = import("./e.ts").E; const f = await import("./f.ts"); new URL("./g.ts", import.meta.url);
      import type { H } from "node:fs";`;
    expect(importsOf("src/x/y.ts", text).map((i) => i.file ?? i.specifier)).toEqual([
      "src/x/a.ts",
      "src/x/b.ts",
      "src/x/c.ts",
      "src/d.ts",
      "src/x/e.ts",
      "src/x/f.ts",
      "src/x/g.ts",
      "node:fs",
    ]);
  });

  it("globals are told from members, keys and declared names", () => {
    const text = `
      import { process } from "./p.ts";
      interface Window2 { document: Document; }
      const o = { window: 1, fetch() {} }; o.window; process.x;
      function f(setTimeout: number, { console: c = 1 }) { return setTimeout + c; }
      class A implements Iface { Buffer = 1 }
      export const buffer = Buffer.from("x"); fetch("y"); type T = typeof navigator;`;
    const uses = globalsOf("src/x.ts", text).map(({ name, type }) => `${type ? "type " : ""}${name}`);
    expect(uses).toEqual(["type Document", "type Iface", "Buffer", "fetch", "type navigator"]);
  });
});
