/**
 * Processes that run SQL, killed by SIGKILL at random moments, on real files: the next process finds exactly what was acknowledged, or that and
 * what was under way. PAGEFOLD_TEST_KILLS says how often each kind is killed.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStore } from "../../src/node/index.ts";
import { Database } from "../../vfs/index.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { onDemand } from "../more.ts";
import { removeTemporary, start, temporary } from "../node/block-child.ts";
import { killAfter, said, strangeKeys } from "../sim/kill/children.ts";
import { bundleWorker } from "../vfs/bundle.ts";
import type { Transfer } from "./bank.ts";
import { commitOf, expectCommit, HISTORY_SCHEMA, History } from "./history.ts";
import type { Doing } from "./kill-child.ts";
import { Pushes } from "./pushes.ts";

const KILLS = Number(process.env.PAGEFOLD_TEST_KILLS ?? 2);
/** Two at a time, because there are two cores. */
const LANES = [1, 2];
const history = new History();
let workerUrl: URL;
let child: string;

beforeAll(async () => {
  workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
  child = (await bundleWorker("test/sql-sim/kill-child.ts")).pathname;
});
afterAll(removeTemporary);

/** A store with the bank, and a second volume that only counts: a copy of one that is made once. */
async function founded(): Promise<string> {
  founding ??= found();
  const store = path.join(temporary(), "store");
  fs.cpSync(await founding, store, { recursive: true });
  return store;
}

let founding: Promise<string> | undefined;

async function found(): Promise<string> {
  const store = path.join(temporary(), "store");
  const schemas = [
    ["bank", HISTORY_SCHEMA],
    ["audit", "CREATE TABLE progress(n); INSERT INTO progress VALUES (0)"],
  ] as const;
  for (const [tag, schema] of schemas) {
    const database = await Database.open({ url: store, create: true }, tag, { create: true, workerUrl });
    await database.exec(schema);
    await database.push();
    await database.close();
  }
  return store;
}

function args(doing: Doing, store: string, local: string, name = ""): [string, ...string[]] {
  return [child, doing, store, local, workerUrl.href, name];
}

interface Lane {
  readonly store: string;
  readonly local: string;
  /** The last commit that was acknowledged, or found. */
  readonly n: number;
  /** [commit, LSN] of each push that was acknowledged. */
  readonly pushed: readonly number[][];
  readonly during: Readonly<Record<string, number>>;
}

/** Kills one child after the other on the same directories; each looks at what the one before has left. */
async function killMany(doing: Doing, lane: number, begun: string, withinMs: number): Promise<Lane> {
  const random = seededRandom(testSeed * 100 + lane);
  const [store, local] = [await founded(), temporary()];
  let n = 0;
  const pushed: number[][] = [];
  const during: Record<string, number> = {};
  for (let round = 0; round < Math.ceil(KILLS / LANES.length); round++) {
    const lines = await killAfter(random() * withinMs, begun, ...args(doing, store, local));
    const [found = -1] = said(lines, "open")[0] ?? [];
    expect([n, n + 1], `invariants 2 and 3: found after ${n} was acknowledged`).toContain(found);
    n = Math.max(found, ...said(lines, "committed").map(([last]) => last!));
    pushed.push(...said(lines, "pushed"));
    const what = lines.at(-1)?.split(" ")[0] ?? "";
    during[what] = (during[what] ?? 0) + 1;
  }
  return { store, local, n, pushed, during };
}

/** What the last child has left, in this process; answers the commit that is shown. */
async function checkLast(
  { store, local, n }: Lane,
  more: (database: Database) => Promise<void>,
): Promise<number> {
  const database = await Database.open(store, "bank", { local: { path: local }, workerUrl });
  try {
    const found = await commitOf(database);
    expect([n, n + 1]).toContain(found);
    await expectCommit(database, history, found);
    await more(database);
    return found;
  } finally {
    await database.close();
  }
}

/** One lane for each of `doing`. */
async function killLanes(
  doing: readonly Doing[],
  begun: string,
  withinMs: number,
  more: (database: Database, lane: Lane) => Promise<void> = async () => {},
): Promise<void> {
  const lanes = await Promise.all(
    doing.map(async (each, i) => {
      const lane = await killMany(each, i, begun, withinMs);
      await checkLast(lane, (database) => more(database, lane));
      expect(await strangeKeys(lane.store)).toEqual([]);
      return `${each}: ${lane.n} commits, killed ${JSON.stringify(lane.during)}`;
    }),
  );
  console.log(lanes.join("\n"));
}

describe("invariants 2 and 3 under kill -9", { timeout: 240_000 }, () => {
  it("transactions, durable", () => killLanes(["full", "full"], "committed ", 150));

  it("transactions, relaxed by a setting or by PRAGMA synchronous: a kill of the process loses nothing", (context) => {
    onDemand(context);
    return killLanes(["relaxed", "synchronous"], "committed ", 150);
  });

  it("VACUUM", () => killLanes(["vacuum", "vacuum"], "vacuuming ", 120));

  it("transactions over two volumes: both or neither", () =>
    killLanes(["attached", "attached"], "committed ", 150, async (database) => {
      await database.exec("ATTACH 'audit' AS audit");
      expect(await commitOf(database, "audit")).toBe(await commitOf(database));
    }));

  it("pushes: what was acknowledged is there, once", () =>
    killLanes(["push", "push"], "pushing ", 120, async (database, { store, pushed }) => {
      await database.push();
      const { lsn: head } = await database.status();
      const stranger = await Database.open(store, "bank", { workerUrl });
      const shown: number[] = [];
      for (let lsn = 1; lsn <= head; lsn++) {
        const view = await stranger.at(lsn);
        shown.push(await commitOf(view));
        await view.close();
      }
      await stranger.close();
      expect(new Set(shown).size, "invariant 4: every LSN adds something").toBe(head);
      for (const [n, lsn] of pushed) expect(shown[lsn! - 1], `LSN ${lsn} was acknowledged`).toBe(n);
    }));

  it("invariant 5: two processes that push, and make it again where the other was first", async () => {
    const store = await founded();
    const pushes = new Pushes();
    pushes.won("founder", 1, []);
    await Promise.all(
      LANES.map(async (lane) => {
        const random = seededRandom(testSeed * 100 + 10 + lane);
        const [name, local] = [`racer${lane}`, temporary()];
        for (let round = 0; round < Math.ceil(KILLS / LANES.length); round++) {
          const lines = await killAfter(100 + random() * 300, "pushed ", ...args("race", store, local, name));
          for (const [turn, lsn, pid] of said(lines, "pushed"))
            pushes.won(name, lsn!, [{ id: `${name}-${pid}-${turn}` } as Transfer]);
        }
      }),
    );
    const clone = await Database.open(store, "bank", { workerUrl });
    await pushes.check(clone);
    await clone.verify();
    console.log(`race: ${pushes.acknowledged} pushes acknowledged, LSN ${(await clone.status()).lsn}`);
    await clone.close();
  });
});

describe("one local directory has one owner", { timeout: 240_000 }, () => {
  it("another process: busy, naming it; when it dies, the next takes over", async () => {
    const [store, local] = [await founded(), temporary()];
    const open = () => Database.open(store, "bank", { local: { path: local }, workerUrl });
    const owner = start(...args("hold", store, local));
    await owner.printed("open");
    await expect(open()).rejects.toMatchObject({
      code: "busy",
      message: expect.stringMatching(
        new RegExp(`in use by process ${owner.pid} .*wait until it ends or stop it`),
      ),
      details: { pid: owner.pid },
    });
    owner.process.kill("SIGKILL");
    await owner.ended;
    const database = await open();
    const second = start(...args("hold", store, local));
    await second.printed(`failed busy`);
    expect(second.output()).toContain(`in use by process ${process.pid} `);
    await second.ended;
    await expectCommit(database, history, 0);
    await database.close();
  });

  it("two databases of one process: busy, and free once the first is closed", async () => {
    const [store, local] = [await founded(), temporary()];
    const open = () => Database.open(store, "bank", { local: { path: local }, workerUrl });
    const busy = {
      code: "busy",
      message: expect.stringContaining("close the other handle in this process first"),
    };
    const first = await open();
    await expect(open()).rejects.toMatchObject(busy);
    await expect(openStore(store, { local, workers: 0 })).rejects.toMatchObject(busy);
    expect(await commitOf(first), "the first goes on").toBe(0);
    await first.close();
    const both = await Promise.allSettled([open(), open()]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    for (const each of both) if (each.status === "fulfilled") await each.value.close();
  });
});
