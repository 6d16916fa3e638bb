/**
 * Runs the files beside this one on every target, and those of PAGEFOLD_SQLLOGICTEST: a folder, searched to its depths, or one file.
 * SQLite's own files run unchanged: `PAGEFOLD_SQLLOGICTEST=/path/to/sqllogictest/test npx vitest run test/sqllogictest`.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { parseSqlLogicTest } from "./parse.ts";
import { failuresText, type RunReport, runRecords } from "./run.ts";
import { type TargetKind, targets } from "./targets.ts";

const ownFolder = fileURLToPath(new URL("files", import.meta.url));
/** Of one file; those of SQLite have up to a hundred thousand records. */
const GIVEN_TIMEOUT_MS = 30 * 60_000;

interface TestFile {
  readonly path: string;
  readonly name: string;
}

/** @throws `invalid` where there is no such file, which otherwise would look like a run without failures */
function testFiles(path: string): TestFile[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isFile()) return [{ path, name: basename(path) }];
  const found = stat?.isDirectory() ? readdirSync(path, { recursive: true, withFileTypes: true }) : [];
  const files = found
    .filter((entry) => entry.isFile() && entry.name.endsWith(".test"))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  if (files.length === 0)
    throw new PagefoldError(
      "invalid",
      `no *.test file in ${path}; name a folder that has some, or a file of any name`,
      { details: { path } },
    );
  return files.map((file) => ({ path: file, name: relative(path, file) }));
}

async function runFile(
  target: TargetKind,
  { path, name }: TestFile,
  signal: AbortSignal,
): Promise<RunReport> {
  const records = parseSqlLogicTest(readFileSync(path, "utf8"), name);
  const database = await target.open();
  try {
    return await runRecords(records, database, { file: name, signal });
  } finally {
    await database.close();
  }
}

const given = process.env.PAGEFOLD_SQLLOGICTEST ?? "";

for (const target of targets) {
  describe(`sqllogictest on ${target.name}`, () => {
    for (const file of testFiles(ownFolder))
      it(file.name, async ({ signal }) => {
        const report = await runFile(target, file, signal);
        expect(failuresText(report)).toBe("");
        expect(report.queries).toBeGreaterThan(5);
      });
  });

  describe(`sqllogictest on ${target.name}, the files of PAGEFOLD_SQLLOGICTEST`, () => {
    if (given === "") {
      it("each file", (ctx) => ctx.skip("PAGEFOLD_SQLLOGICTEST is not set"));
      return;
    }
    for (const file of testFiles(given))
      it(file.name, { timeout: GIVEN_TIMEOUT_MS }, async ({ signal }) => {
        expect(failuresText(await runFile(target, file, signal))).toBe("");
      });
  });
}
