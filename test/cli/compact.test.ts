/** `pagefold compact`, as a process of its own. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { failJson, runCli, runJson, temporaryFolder } from "./cli.ts";
import { sampleDatabase } from "./sample-database.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  store = join(folder.path, "store");
  await writeFile(join(folder.path, "source.db"), await sampleDatabase());
  await runJson(["import", join(folder.path, "source.db"), "--store", store, "--tag", "shop"]);
});
afterAll(() => folder.remove());

interface Compacted {
  lsn: number;
  steps: number;
  pagesMoved: number;
  segmentsAfter: number;
  bytesWritten: number;
  writeAmplification?: number;
  checkpoint?: number;
}

it("puts a volume in order once, and again only on demand", async () => {
  const first = await runJson<Compacted>(["compact", "shop", "--store", store]);
  expect(first).toMatchObject({ lsn: 1, steps: 1, segmentsAfter: 2, checkpoint: 1 });
  expect(first.writeAmplification).toBeGreaterThan(1);
  const second = await runCli(["compact", "shop", "--store", store]);
  expect(second.code).toBe(0);
  expect(second.stderr).toContain("in order already");
  const all = await runJson<Compacted>(["compact", "shop", "--store", store, "--all", "--rate", "100000000"]);
  expect(all).toMatchObject({ steps: 1, segmentsAfter: 2, pagesMoved: first.pagesMoved });
  await runJson(["verify", "shop", "--store", store]);
});

it("refuses a rate that is none", async () => {
  const error = await failJson(["compact", "shop", "--store", store, "--rate", "fast"]);
  expect(error.exit).toBe(2);
});
