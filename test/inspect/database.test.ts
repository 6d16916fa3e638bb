/** What a database tells of its pages, whichever way SQLite waits for them. */
import { expect, it } from "vitest";
import type { PageState } from "../../src/inspect/residency.ts";
import type { Database } from "../../vfs/index.ts";
import { openOver, overBridges } from "../vfs/bridges.ts";
import { importInto } from "../vfs/remotes.ts";
import { sampleDatabase } from "../vfs/sample.ts";

async function totals(database: Database): Promise<Readonly<Record<PageState, number>>> {
  return (await database.inspect()).residency.totals;
}

overBridges("Database.inspect", (bridge) => {
  it("shows what queries fetch, what is written and not pushed, and the log", async () => {
    const remote = await bridge.remote();
    const bytes = await sampleDatabase();
    await importInto(remote, bytes);
    const pageCount = bytes.length / 4096;
    const database = await openOver(bridge, remote);
    const before = await totals(database);
    const isHere = bridge.kind === "resident-only";
    if (isHere) expect(before).toMatchObject({ absent: 0, prefetched: 0 });
    else expect(before.absent).toBeGreaterThan(pageCount / 2);
    await database.query("SELECT count(*) FROM t NOT INDEXED");
    const after = await totals(database);
    if (isHere) expect(after.resident + after.hot).toBe(pageCount);
    else expect(after.resident + after.hot).toBeGreaterThan(before.resident + before.hot);
    if (!isHere) expect(after.absent).toBeLessThan(before.absent);
    expect(after.dirty).toBe(0);

    await database.exec("UPDATE t SET s = 'new' WHERE i = 5");
    const written = await database.inspect({ commits: 5 });
    expect(written).toMatchObject({
      ...{ lsn: 1, localCommits: 1, pageSize: 4096, lag: { state: "ahead", ahead: 1 } },
      commits: [{ lsn: 1, pages: pageCount }],
    });
    // The page of the row and two of the index.
    expect(written.residency.totals.dirty).toBeGreaterThanOrEqual(2);
    await database.push();
    const pushed = await database.inspect({ commits: 1, cells: 16 });
    expect(pushed).toMatchObject({ lsn: 2, localCommits: 0, commits: [{ lsn: 2 }] });
    expect(pushed.residency.totals.dirty).toBe(0);
    expect(pushed.residency.cells).toBeLessThanOrEqual(16);
    // Plain data, as it came through a port and as it will be printed.
    expect(JSON.parse(JSON.stringify(pushed))).toEqual(pushed);
  });

  it("shows a view of the past by itself", async () => {
    const database = await openOver(bridge, await bridge.remote());
    await database.exec("CREATE TABLE n(i); INSERT INTO n VALUES (1)");
    await database.push();
    await database.exec("CREATE TABLE m(i)");
    const past = await database.at(1);
    expect(await past.inspect()).toMatchObject({ lsn: 1, localCommits: 0, lag: { ahead: 1 } });
    expect((await past.inspect()).residency.totals.dirty).toBe(0);
    expect((await database.inspect()).residency.totals.dirty).toBeGreaterThan(0);
    await past.close();
    await expect(past.inspect()).rejects.toMatchObject({ code: "closed" });
    await expect(database.inspect({ cells: 0 })).rejects.toMatchObject({ code: "invalid" });
  });
});
