/** What must hold of the package as a whole: pins, the lock file, what is shipped, and what no tracked file may contain. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readText, root, trackedFiles } from "./source.ts";

interface LockEntry {
  version?: string;
  resolved?: string;
  hasInstallScript?: boolean;
}

interface Manifest {
  name: string;
  license: string;
  engines: { node: string };
  bin: Record<string, string>;
  files: string[];
  exports: Record<string, Record<string, string | Record<string, string>> | string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
  peerDependenciesMeta: Record<string, { optional?: boolean }>;
}

const manifest: Manifest = JSON.parse(readText("package.json"));
const lock: { packages: Record<string, LockEntry> } = JSON.parse(readText("package-lock.json"));

/** Packages whose install script is harmless without a compiler: each only checks or places a prebuilt binary. */
const mayRunInstallScripts = new Set(["esbuild", "fsevents"]);

/** Written in halves, so that this file does not contain what it looks for. */
const nowhere: readonly RegExp[] = [
  new RegExp(`(^|[^\\w.])/${"wo"}rk/`),
  new RegExp(
    ["cla" + "ude", "anth" + "ropic", "co" + "pilot", "chat" + "gpt", "open" + "ai", "code" + "x\\b"].join(
      "|",
    ),
    "i",
  ),
  new RegExp(`registry\\.${"npm"}js\\.org|registry\\.${"yarn"}pkg\\.com|^\\s*registry\\s*=`, "im"),
];

describe("dependencies", () => {
  it("are pinned exactly", () => {
    const all = { ...manifest.dependencies, ...manifest.devDependencies };
    expect(Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual(
      [],
    );
  });

  it("those of adapters are optional peers, a range each, and tested in one version of it", () => {
    for (const [name, range] of Object.entries(manifest.peerDependencies)) {
      expect(manifest.peerDependenciesMeta[name]?.optional, name).toBe(true);
      expect(manifest.dependencies[name], name).toBeUndefined();
      const [, from, below] = /^>=0\.(\d+)\.0 <0\.(\d+)\.0$/.exec(range)?.map(Number) ?? [];
      const tested = Number(manifest.devDependencies[name]?.split(".")[1]);
      expect(tested, `${name} ${range}`).toBeGreaterThanOrEqual(from ?? Number.NaN);
      expect(tested, `${name} ${range}`).toBeLessThan(below ?? Number.NaN);
    }
  });

  it("the lock file agrees with package.json and carries no registry address", () => {
    const resolved = Object.entries(lock.packages).filter(([, entry]) =>
      /^https?:/.test(entry.resolved ?? ""),
    );
    expect(resolved.map(([path]) => path)).toEqual([]);
    for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
      expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
    }
  });

  it("none runs an install script that may need a compiler or a download", () => {
    const names = Object.entries(lock.packages)
      .filter(([, entry]) => entry.hasInstallScript === true)
      .map(([path]) => path.replace(/^.*node_modules\//, ""));
    expect(names.filter((name) => !mayRunInstallScripts.has(name))).toEqual([]);
  });
});

describe("what is shipped", () => {
  it("the targets of exports, bin and files exist after the build", () => {
    const targets = Object.values(manifest.exports).flatMap((target) =>
      typeof target === "string"
        ? [target]
        : Object.values(target).flatMap((path) => (typeof path === "string" ? [path] : Object.values(path))),
    );
    const expected = [...targets, ...Object.values(manifest.bin), ...manifest.files, "LICENSE"];
    const missing = expected.filter((path) => !existsSync(join(root, path)));
    expect(missing, "run npm run build first").toEqual([]);
  });

  it("the command starts with a shebang", () => {
    for (const path of Object.values(manifest.bin)) {
      expect(readText(path).split("\n")[0]).toBe("#!/usr/bin/env node");
    }
  });

  it("the package holds the build and its documents, no tests and no data", () => {
    const out = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts", "--offline"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const [{ files }] = JSON.parse(out) as [{ files: { path: string }[] }];
    const paths = files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining(["package.json", "README.md", "LICENSE", "dist/index.js", "dist/cli.js"]),
    );
    const allowed = /^(dist\/|package\.json$|README\.md$|LICENSE$|src\/format\/FORMAT\.md$)/;
    expect(paths.filter((path) => !allowed.test(path))).toEqual([]);
  });
});

describe("tracked files", () => {
  it("none carries a registry address, a path of some machine or a name of a tool that helped to write it", (ctx) => {
    const files = trackedFiles();
    if (files === undefined) return ctx.skip("not a git checkout: no list of tracked files");
    const found: string[] = [];
    for (const path of files) {
      const text = readFileSync(join(root, path), "latin1");
      for (const pattern of nowhere) {
        const match = pattern.exec(text);
        if (match !== null)
          found.push(`${path}:${text.slice(0, match.index).split("\n").length}: ${match[0].trim()}`);
      }
    }
    expect(found).toEqual([]);
  });

  it("none is large, built or a database: data stays in npm packages", (ctx) => {
    const files = trackedFiles();
    if (files === undefined) return ctx.skip("not a git checkout: no list of tracked files");
    expect(
      files.filter((path) => /^(dist|node_modules|bench\/\.data)\/|\.(sqlite|db|dict)$/.test(path)),
    ).toEqual([]);
    expect(files.filter((path) => statSync(join(root, path)).size > 1_000_000)).toEqual([]);
  });
});
