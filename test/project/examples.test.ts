import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");

describe("examples", () => {
  for (const name of ["library.mjs", "sql.mjs"]) {
    it(`the README shows examples/${name} as it is`, () => {
      const example = readFileSync(join(root, "examples", name), "utf8").trimEnd();
      expect(readFileSync(join(root, "README.md"), "utf8")).toContain(example);
    });
  }

  it("examples/library.mjs runs against the built package", () => {
    const run = spawnSync(process.execPath, [join(root, "examples/library.mjs")], {
      encoding: "utf8",
      cwd: root,
    });
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
    expect(run.stdout).toContain("the first version");
    expect(run.stdout).toContain("THE OTHER version");
  });

  it("examples/sql.mjs runs against the built package", () => {
    const run = spawnSync(process.execPath, [join(root, "examples/sql.mjs")], {
      encoding: "utf8",
      cwd: root,
    });
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
    expect(run.stdout).toMatch(
      /outcome: 'pushed',\n {2}lsn: 3,[\s\S]*replays: 1\n[\s\S]*notes: 3\nnotes: 4\nmilk\neggs\nbread\ntea\n\{ n: 2 \}/,
    );
  });
});
