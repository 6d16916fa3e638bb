/**
 * A database much larger than the memory that it may have, changed whole in one transaction, rolled back, vacuumed and pushed (invariant 10).
 * PAGEFOLD_LARGE_MB sets its size.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { bundleWorker } from "../vfs/bundle.ts";
import type { Findings, Phase, Task } from "./large-child.ts";

const MEGABYTES = Number(process.env.PAGEFOLD_LARGE_MB ?? 100);
const MEBIBYTE = 2 ** 20;
const child = await bundleWorker("test/sql-model/large-child.ts");
const worker = await bundleWorker("vfs/worker/node-worker.ts");
const directories: string[] = [];

afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

function run(megabytes: number): Phase[] {
  const directory = mkdtempSync(join(tmpdir(), "pagefold-large-"));
  directories.push(directory);
  const task: Task = { directory, workerUrl: worker.href, megabytes };
  const { stdout, stderr, status } = spawnSync(process.execPath, [child.pathname, JSON.stringify(task)], {
    encoding: "utf8",
    maxBuffer: 64 * MEBIBYTE,
  });
  expect(status, stderr).toBe(0);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

it(`invariant 10: ${MEGABYTES} MB take hardly more memory than ${MEGABYTES / 5} MB`, () => {
  const small = run(MEGABYTES / 5);
  const large = run(MEGABYTES);
  console.log(
    [small, large].map((phases) => phases.map((phase) => JSON.stringify(phase)).join("\n")).join("\n\n"),
  );
  for (const phases of [small, large]) {
    const { rows, counted, byIndex, integrity } = phases.at(-1)!.found as Findings;
    expect(counted).toEqual({ n: rows, right: rows });
    expect(byIndex).toEqual({ n: rows, w: 8 * rows });
    expect(integrity).toEqual([{ integrity_check: "ok" }]);
  }
}, 3_600_000);
