/**
 * Real processes killed by SIGKILL in the middle of commits, pushes and imports, on real files: what they had acknowledged is there,
 * whole and once, and whoever comes next goes on from there.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStore } from "../../src/node/open-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { filesBelow, runCli, runJson, startCli } from "../cli/cli.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { onDemand, wantsMore } from "../more.ts";
import { removeTemporary, temporary } from "../node/block-child.ts";
import { killAfter, packageEntry, said, script, strangeKeys } from "./kill/children.ts";
import { Content, FileVersions, numberIn, OWNER_PAGE, PAGE_BYTES, TAG } from "./kill/content.ts";

/** Two at a time, because there are two cores. */
const LANES = [1, 2];
let commitChild: string;
let importChild: string;

beforeAll(async () => {
  commitChild = await script("commit-child.ts");
  importChild = await script("import-child.ts");
});
afterAll(removeTemporary);

async function emptyVolume(store: string): Promise<void> {
  const pages = await openStore(store, { workers: 0, create: true });
  await pages.createVolume({ tag: TAG, pageSize: PAGE_BYTES });
  await pages.close();
}

/** Opens what a dead process left: its lock is taken over. */
async function reopened<T>(
  store: string,
  local: string | undefined,
  use: (volume: Volume) => Promise<T>,
): Promise<T> {
  const pages: PageStore = await openStore(store, { workers: 0, ...(local === undefined ? {} : { local }) });
  try {
    return await use(await pages.volume(TAG));
  } finally {
    await pages.close();
  }
}

/** The number of the state that the volume shows; fails unless every byte is that state's. */
async function numberOf(volume: Volume, content: Content): Promise<number> {
  const bytes = await volume.read(0, volume.snapshot().byteLength);
  const n = numberIn(bytes);
  const expected = content.at(n).slice();
  const owner = (OWNER_PAGE - 1) * PAGE_BYTES;
  if (n > 0) expected.set(bytes.subarray(owner, owner + PAGE_BYTES), owner);
  expect(Buffer.compare(bytes, expected), `invariant 2: the bytes after commit ${n}, whole`).toBe(0);
  return n;
}

/** What page 1 says at every LSN of the log, from 1 on, as a stranger sees it. */
async function numbersInLog(store: string): Promise<number[]> {
  return reopened(store, undefined, async (volume) => {
    const numbers: number[] = [];
    for (let lsn = 1; lsn <= volume.status().lsn; lsn++) {
      const snapshot = await volume.at(lsn);
      numbers.push(numberIn(await snapshot.read(0, 8)));
      snapshot.close();
    }
    return numbers;
  });
}

async function checkStore(store: string): Promise<void> {
  expect(await strangeKeys(store)).toEqual([]);
  const { code, stderr } = await runCli(["verify", TAG, "--store", store]);
  expect(code, stderr).toBe(0);
}

describe("invariants 2, 3 and 11 under kill -9", () => {
  it("one process that commits and pushes", async () => {
    const rounds = wantsMore ? 7 : 5;
    let inCommit = 0;
    let inPush = 0;
    await Promise.all(
      LANES.map(async (lane) => {
        const random = seededRandom(testSeed + lane);
        const store = path.join(temporary(), "store");
        const local = temporary();
        await emptyVolume(store);
        const content = new Content();
        const pushed: number[][] = [];
        let acknowledged = 0;
        for (let round = 0; round < rounds; round++) {
          const args = [commitChild, packageEntry, store, local, `lane${lane}`, "alone"] as const;
          const lines = await killAfter(random() * 120, "committed ", ...args);
          for (const [n] of said(lines, "committed")) acknowledged = Math.max(acknowledged, n!);
          pushed.push(...said(lines, "pushed"));
          if (lines.at(-1)?.startsWith("committing")) inCommit++;
          if (lines.at(-1)?.startsWith("pushing")) inPush++;
          await reopened(store, local, async (volume) => {
            const n = await numberOf(volume, content);
            expect(n, `round ${round} of seed ${testSeed}`).toBeGreaterThanOrEqual(acknowledged);
            expect(n).toBeLessThanOrEqual(acknowledged + 1);
            acknowledged = n;
            // Every other time the next child finds the open push, not this process.
            if (round % 2 === 0) await volume.push();
          });
        }
        const log = await numbersInLog(store);
        expect(
          log.every((n, i) => i === 0 || n > log[i - 1]!),
          "invariant 4",
        ).toBe(true);
        for (const [n, lsn] of pushed) expect(log[lsn! - 1], `LSN ${lsn} was acknowledged`).toBe(n);
        await checkStore(store);
      }),
    );
    console.log(`${2 * rounds} kills: ${inCommit} within a commit, ${inPush} within a push`);
    expect(inPush + inCommit).toBeGreaterThan(rounds / 2);
  }, 240_000);

  it("invariant 5: two processes that push to one volume", async () => {
    const rounds = wantsMore ? 8 : 3;
    const roundsAtMost = 60;
    const store = path.join(temporary(), "store");
    await emptyVolume(store);
    const pushed: number[][] = [];
    const owners = new Map<number, string>();
    const random = seededRandom(testSeed + 10);
    const racers = LANES.map((lane) => ({
      name: `racer${lane}`,
      local: temporary(),
      content: new Content(),
    }));
    const bothWon = () => new Set(owners.values()).size === racers.length;
    let round = 0;
    for (; round < rounds || (!bothWon() && round < roundsAtMost); round++) {
      await Promise.all(
        racers.map(async ({ name, local, content }) => {
          const args = [commitChild, packageEntry, store, local, name, "racing"] as const;
          const lines = await killAfter(random() * 150, "committed ", ...args);
          for (const [n, lsn] of said(lines, "pushed")) {
            pushed.push([n!, lsn!]);
            expect(owners.has(lsn!), `invariant 4: LSN ${lsn} was acknowledged twice`).toBe(false);
            owners.set(lsn!, name);
          }
          const sinceReset = lines.slice(lines.findLastIndex((line) => line.startsWith("reset")) + 1);
          const newest = Math.max(0, ...said(sinceReset, "committed").map(([n]) => n!));
          await reopened(store, local, async (volume) => {
            expect(await numberOf(volume, content)).toBeGreaterThanOrEqual(newest);
          });
        }),
      );
    }
    const log = await numbersInLog(store);
    expect(
      log.every((n, i) => i === 0 || n > log[i - 1]!),
      "invariant 4",
    ).toBe(true);
    for (const [n, lsn] of pushed) expect(log[lsn! - 1], `LSN ${lsn} was acknowledged`).toBe(n);
    await reopened(store, undefined, async (volume) => {
      await numberOf(volume, new Content());
      for (const [lsn, name] of owners) {
        const snapshot = await volume.at(lsn);
        const owner = await snapshot.read((OWNER_PAGE - 1) * PAGE_BYTES, 10);
        snapshot.close();
        expect(new TextDecoder().decode(owner)).toContain(name);
      }
    });
    await checkStore(store);
    console.log(`${2 * round} kills: ${log.length} commits in the log, ${pushed.length} acknowledged`);
    expect(bothWon(), "a race is shown only where each won once").toBe(true);
  }, 240_000);

  it("one process that imports", async () => {
    const rounds = wantsMore ? 8 : 2;
    const size = 3_000_000;
    let kills = 0;
    let inImport = 0;
    let imports = 0;
    await Promise.all(
      LANES.map(async (lane) => {
        const random = seededRandom(testSeed + 20 + lane);
        const directory = temporary();
        const store = path.join(directory, "store");
        const file = path.join(directory, "source");
        const local = temporary();
        let acknowledged = -1;
        // Where a kill hits is chance: so many rounds, and more for as long as hardly any has hit an import.
        for (let round = 0; round < rounds || (inImport < rounds && round < 40); round++) {
          kills++;
          const args = [importChild, packageEntry, store, local, file, `${size}`] as const;
          const lines = await killAfter(random() * 200, "importing ", ...args);
          const done = said(lines, "imported");
          imports += done.length;
          for (const [k] of done) acknowledged = Math.max(acknowledged, k!);
          if (lines.at(-1)?.startsWith("importing")) inImport++;
          const { code, stdout } = await tagsOf(store);
          expect(code).toBe(0);
          if (acknowledged < 0 && !stdout.includes(TAG)) continue;
          await reopened(store, undefined, async (volume) => {
            const bytes = await volume.read(0, volume.snapshot().byteLength);
            const k = numberIn(bytes);
            expect(k).toBeGreaterThanOrEqual(acknowledged);
            expect(k).toBeLessThanOrEqual(acknowledged + 1);
            expect(Buffer.compare(bytes, new FileVersions(size).to(k)), `version ${k}, whole`).toBe(0);
          });
        }
        const out = path.join(directory, "out");
        await runJson(["import", file, "--store", store, "--tag", TAG]);
        await runJson(["export", TAG, out, "--store", store]);
        expect(Buffer.compare(fs.readFileSync(out), fs.readFileSync(file))).toBe(0);
        await checkStore(store);
      }),
    );
    console.log(`${kills} kills: ${inImport} within an import, ${imports} imports acknowledged`);
    expect(inImport).toBeGreaterThanOrEqual(rounds);
  }, 240_000);

  it("the command that imports", async (context) => {
    onDemand(context);
    const rounds = wantsMore ? 8 : 3;
    const random = seededRandom(testSeed + 30);
    const folder = temporary();
    const source = path.join(folder, "source");
    const bytes = new FileVersions(12_000_000).bytes;
    fs.writeFileSync(source, bytes);
    const begun = Date.now();
    await runJson(["import", source, "--store", path.join(folder, "store"), "--tag", TAG]);
    const wholeMs = Date.now() - begun;
    let unfinished = 0;
    await Promise.all(
      LANES.map(async (lane) => {
        for (let round = 0; round < rounds; round++) {
          const store = path.join(folder, `store-${lane}-${round}`);
          const out = path.join(folder, `out-${lane}-${round}`);
          const { child, result } = startCli(["import", source, "--store", store, "--tag", TAG]);
          await new Promise((resolve) => setTimeout(resolve, wholeMs * (0.25 + 0.85 * random())));
          child.kill("SIGKILL");
          await result;
          const { code, stdout } = await tagsOf(store);
          const whole = code === 0 && stdout.includes(TAG);
          if (!whole) unfinished++;
          // A tag that is there names a whole import: the second finds nothing to do.
          const second = await runJson(["import", source, "--store", store, "--tag", TAG]);
          expect(second).toMatchObject({
            lsn: 1,
            bytes: bytes.length,
            ...(whole ? { changedPages: 0 } : {}),
          });
          await runJson(["export", TAG, out, "--store", store]);
          expect(Buffer.compare(fs.readFileSync(out), bytes)).toBe(0);
          await checkStore(store);
          // What a killed writer leaves in .tmp, also an empty file, is no object: readers and listings never see it.
          const objects = (await filesBelow(store)).filter((name) => !name.split("/").includes(".tmp"));
          for (const name of objects) expect(fs.statSync(name).size, name).toBeGreaterThan(0);
          fs.rmSync(store, { recursive: true });
          fs.rmSync(out);
        }
      }),
    );
    console.log(`${2 * rounds} kills of the command: ${unfinished} before it was done`);
    expect(unfinished).toBeGreaterThan(1);
  }, 240_000);
});

/** The tags as the command lists them; fails where the store was never made. */
function tagsOf(store: string): ReturnType<typeof runCli> {
  return runCli(["tags", "--store", store]);
}
