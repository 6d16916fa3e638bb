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

/** What collectors of garbage leave lying about. */
const SLACK_BYTES = 64 * MEBIBYTE;
/** Page tables, page sets and checksums of a page, of which there is one for every 4096 bytes. */
const BYTES_PER_PAGE = 100;

/** The peak of a run depends on when garbage is collected: the least of a few is what is needed. */
const RUNS_AT_MOST = 4;

function checkFindings(phases: Phase[]): void {
  for (const phase of phases) console.log(JSON.stringify(phase));
  const { rows, counted, byIndex, integrity } = phases.at(-1)!.found as Findings;
  expect(counted).toEqual({ n: rows, right: rows });
  expect(byIndex).toEqual({ n: rows, w: 8 * rows });
  expect(integrity).toEqual([{ integrity_check: "ok" }]);
}

it(`invariant 10: ${MEGABYTES} MB take hardly more memory than ${MEGABYTES / 5} MB`, () => {
  const small = run(MEGABYTES / 5);
  checkFindings(small);
  const pages = (0.8 * MEGABYTES * MEBIBYTE) / 4096;
  const allowed = SLACK_BYTES + BYTES_PER_PAGE * pages;
  let grown = Number.POSITIVE_INFINITY;
  for (let runs = 0; grown >= allowed && runs < RUNS_AT_MOST; runs++) {
    const large = run(MEGABYTES);
    checkFindings(large);
    grown = Math.min(grown, large.at(-1)!.peakRssBytes - small.at(-1)!.peakRssBytes);
  }
  expect(grown, "growth of the peak").toBeLessThan(allowed);
}, 7_200_000);
