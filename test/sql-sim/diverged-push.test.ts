/** What `push` does with local commits when another writer was first, and the store stops to answer, or more is committed, in the middle of it. */
import { afterEach, describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { type Fault, type StoreCall, withFaults } from "../../src/remote/with-faults.ts";
import { PageStore } from "../../src/store/page-store.ts";
import { Database } from "../../vfs/index.ts";
import { SimRuntime } from "../sim/runtime.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Replica {
  readonly database: Database;
  /** What happens to its requests. */
  plan: (call: StoreCall) => Fault | undefined;
}

async function replica(shared: MemoryObjectStore): Promise<Replica> {
  const runtime = new SimRuntime(1);
  const made = { plan: () => undefined } as unknown as { plan: Replica["plan"] };
  const remote = withFaults(shared, (call) => made.plan(call), { runtime });
  const store = await PageStore.open({ remote, runtime });
  const database = await Database.open(store, "db", { create: true });
  closers.push(
    () => database.close(),
    () => store.close(),
  );
  return Object.assign(made, { database });
}

/** Two replicas of one table; the first has local commits that come too late. */
async function diverged(): Promise<{ shared: MemoryObjectStore; late: Replica }> {
  const shared = new MemoryObjectStore();
  const first = await replica(shared);
  await first.database.exec("CREATE TABLE t(a)");
  await first.database.push();
  const late = await replica(shared);
  await late.database.hydrate();
  await first.database.exec("INSERT INTO t VALUES ('first')");
  await first.database.push();
  await late.database.exec("INSERT INTO t VALUES ('late')");
  return { shared, late };
}

/** The store answers until the commit was found to be another's, and no more. */
function downAfterTheRace(late: Replica): void {
  const error = new PagefoldError("unavailable", "the network is down; try again", { retryable: false });
  let lost = false;
  late.plan = ({ operation, key }) => {
    if (lost) return { kind: "fail-before", error };
    // Reading back whose commit it is, after "exists".
    if (operation === "get" && key.includes("/commits/")) lost = true;
    return undefined;
  };
}

const rows = async ({ database }: Replica): Promise<unknown[]> =>
  (await database.query("SELECT a FROM t ORDER BY a")).map(({ a }) => a);

describe("invariant 3: nothing is dropped that nobody is told of", () => {
  it.each(["reset", "function"] as const)("when the store stops to answer: %s", async (how) => {
    const { late } = await diverged();
    downAfterTheRace(late);
    let calls = 0;
    const onDiverged = how === "reset" ? how : async () => void calls++;
    await expect(late.database.push({ onDiverged })).rejects.toMatchObject({ code: "unavailable" });
    expect(calls).toBe(0);
    expect((await late.database.status()).ahead).toBe(1);
    expect(await rows(late)).toEqual(["late"]);
  });

  it("when a transaction comes between the reset and the pull", async () => {
    const { late } = await diverged();
    let between: Promise<unknown> | undefined;
    late.plan = ({ operation, key }) => {
      const begins = late.database.status().then(({ ahead }) => ahead);
      if (operation === "list" && key.includes("/commits/") && between === undefined)
        between = begins.then(() => late.database.exec("INSERT INTO t VALUES ('between')"));
      return undefined;
    };
    const result = await late.database.push({
      onDiverged: async (transaction) => {
        await transaction.exec(
          "INSERT INTO t SELECT 'late again' WHERE NOT EXISTS (SELECT 1 FROM t WHERE a = 'late')",
        );
      },
    });
    await between;
    expect(result).toMatchObject({ outcome: "pushed", replays: 1 });
    expect(await rows(late)).toContain("late again");
  });

  it("when the store stops to answer after a fork: what was moved is reported", async () => {
    const { late } = await diverged();
    let forked = false;
    const error = new PagefoldError("unavailable", "the network is down; try again", { retryable: false });
    late.plan = ({ operation, key }) => {
      if (forked) return { kind: "fail-before", error };
      forked = operation === "put" && key.startsWith("tags/mine/");
      return undefined;
    };
    const result = await late.database.push({ onDiverged: "fork", tag: "mine" });
    expect(result).toMatchObject({ outcome: "forked", commits: 1, lsn: 1, fork: { tag: "mine" } });
    expect((await late.database.status()).ahead).toBe(0);
  });
});
