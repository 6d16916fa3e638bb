/** Opening a Database: by tag or id, at an LSN or a time, on local state; and what cannot be opened, which leaves nothing behind. */
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { openStore } from "../../src/node/index.ts";
import { Database } from "../../vfs/index.ts";
import { type Bridge, openOver, overBridges } from "./bridges.ts";
import { bundleWorker } from "./bundle.ts";
import { closeAll, closeLater } from "./closers.ts";
import { elsewhere, importInto, memoryRemote, type TestRemote, temporaryDirectory } from "./remotes.ts";
import { COUNT, sampleDatabase } from "./sample.ts";

async function remoteWithSample(bridge: Bridge): Promise<TestRemote> {
  const remote = await bridge.remote();
  await importInto(remote, await sampleDatabase(1000));
  return remote;
}

overBridges("opening", (bridge) => {
  it("by id, and at an LSN or a time, where it stays", async (context) => {
    const remote = await remoteWithSample(bridge);
    const id = await elsewhere(remote, async (volume) => volume.id);
    const between = new Date();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await importInto(remote, await sampleDatabase(1500));
    const byId = await bridge.open(remote, id, {});
    closeLater(() => byId.close());
    expect((await byId.queryOne(COUNT))?.n).toBe(1500);
    expect(await byId.status()).toMatchObject({ volume: id, name: id, lsn: 2 });
    if (bridge.kind === "resident-only") context.skip("pages of the past are not hydrated by opening");
    for (const at of [{ lsn: 1 }, { time: between.getTime() }]) {
      const fixed = await openOver(bridge, remote, { create: false, ...at });
      expect((await fixed.queryOne(COUNT))?.n).toBe(1000);
      expect(await fixed.status()).toMatchObject({ lsn: 1, readOnly: true });
      await expect(fixed.pull()).rejects.toMatchObject({
        code: "invalid",
        message: expect.stringMatching(/LSN 1/),
      });
      await expect(fixed.exec("DELETE FROM t")).rejects.toMatchObject({ code: "invalid" });
      expect(await fixed.query("PRAGMA pagefold_lsn")).toEqual([{ lsn: 1 }]);
      const live = fixed.live(COUNT);
      expect(await live.next()).toMatchObject({ value: [{ n: 1000 }] });
      await live.return();
    }
    await expect(openOver(bridge, remote, { lsn: 7 })).rejects.toMatchObject({ code: "not_found" });
    await expect(openOver(bridge, remote, { time: 0 })).rejects.toMatchObject({ code: "not_found" });
  });

  it("an unknown name is not_found and says which tags exist; with create it is made", async () => {
    const remote = await remoteWithSample(bridge);
    await expect(bridge.open(remote, "nope", {})).rejects.toMatchObject({
      code: "not_found",
      message: expect.stringMatching(/\bdb\b/),
    });
    const made = await bridge.open(remote, "nope", { create: true });
    closeLater(() => made.close());
    expect(await made.query("PRAGMA page_size")).toEqual([{ page_size: 4096 }]);
    await made.exec("CREATE TABLE t(a)");
    await made.push();
    expect(await elsewhere(remote, async (volume) => volume.status().lsn, "nope")).toBe(1);
  });

  it("a volume with something else in it is invalid, and an empty one where it cannot be filled", async () => {
    const remote = await bridge.remote();
    await importInto(remote, new Uint8Array(10_000).fill(65), "text");
    await elsewhere(remote, async () => {}, "empty");
    await expect(bridge.open(remote, "text", {})).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/no SQLite database/),
    });
    await expect(bridge.open(remote, "empty", { readOnly: true })).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/empty/),
    });
    const filled = await bridge.open(remote, "empty", {});
    closeLater(() => filled.close());
    await filled.exec("CREATE TABLE t(a)");
  });

  it("leaves the caller's store open", async () => {
    const remote = await remoteWithSample(bridge);
    const database = await bridge.open(remote, "db", {});
    await database.query(COUNT);
    await database.close();
    await expect(bridge.open(remote, "nope", {})).rejects.toMatchObject({ code: "not_found" });
    // The page store that the test opens for the one on resident pages is the test's own.
    expect(remote.closes).toBe(bridge.kind === "resident-only" ? 3 : 1);
  });

  it("with local state asks neither the store nor anybody for what is resident", async (context) => {
    if (bridge.kind === "resident-only") context.skip("opens on a page store of the caller's");
    const remote = await bridge.remote();
    await importInto(remote, await sampleDatabase());
    const local = { path: temporaryDirectory() };
    const first = await openOver(bridge, remote, { local });
    const rows = await first.query("SELECT s FROM t WHERE i = 321");
    const change = "BEGIN; UPDATE t SET s = s || '!' WHERE i = 321; ROLLBACK";
    await first.exec(change);
    expect(await first.status()).toMatchObject({ storage: "directory" });
    await expect(openOver(bridge, remote, { local })).rejects.toMatchObject({ code: "busy" });
    await first.close();
    remote.down = true;
    const second = await openOver(bridge, remote, { local });
    expect(await second.query("SELECT s FROM t WHERE i = 321")).toEqual(rows);
    await second.exec(change);
    expect(await second.status()).toMatchObject({ requests: 0, faults: 0, bytesFetched: 0 });
    await expect(second.query(COUNT)).rejects.toMatchObject({ code: "unavailable" });
    expect(await second.query("SELECT s FROM t WHERE i = 321")).toEqual(rows);
  });

  it("that is aborted leaves the local directory free", async (context) => {
    if (bridge.kind === "resident-only") context.skip("opens on a page store of the caller's");
    const remote = await remoteWithSample(bridge);
    const local = { path: temporaryDirectory() };
    const controller = new AbortController();
    const answer = remote.stall(() => controller.abort());
    await expect(openOver(bridge, remote, { local, signal: controller.signal })).rejects.toMatchObject({
      code: "aborted",
    });
    await expect(openOver(bridge, remote, { local, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "aborted",
    });
    answer();
    const database = await openOver(bridge, remote, { local });
    expect((await database.queryOne(COUNT))?.n).toBe(1000);
  });
});

describe("opening by address", () => {
  afterEach(closeAll);

  it("opens the store and closes it; one that is not there is not_found, or serves what is local", async () => {
    const workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
    const [path, local] = [join(temporaryDirectory(), "store"), { path: temporaryDirectory() }];
    const options = { workerUrl, local };
    await expect(Database.open(path, "db", { workerUrl })).rejects.toMatchObject({ code: "not_found" });
    const made = await Database.open({ url: path, create: true }, "db", { ...options, create: true });
    await made.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await made.push();
    await made.close();
    const gone = await Database.open(join(path, "gone"), "db", options);
    closeLater(() => gone.close());
    expect(await gone.query("SELECT a FROM t")).toEqual([{ a: 1 }]);
    await expect(gone.pull()).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/cannot be reached/),
    });
  });

  it("on a page store that is the caller's, which stays open", async () => {
    const pages = await openStore(memoryRemote().store, { workers: 0 });
    closeLater(() => pages.close());
    const database = await Database.open(pages, "db", { create: true });
    await database.exec("CREATE TABLE t(a)");
    await database.close();
    expect(pages.opened("db")?.status()).toMatchObject({ ahead: 1 });
  });
});

describe("a worker that dies", () => {
  afterEach(closeAll);
  const script = (code: string): URL => new URL(`data:text/javascript,${encodeURIComponent(code)}`);

  it("while opening: unavailable, with the cause", async () => {
    const { store } = memoryRemote();
    await expect(
      Database.open(store, "db", { create: true, workerUrl: script("process.exit(3)") }),
    ).rejects.toMatchObject({ code: "unavailable", message: expect.stringMatching(/ended unexpectedly/) });
    await expect(
      Database.open(store, "db", { create: true, workerUrl: script("throw new Error('at the start')") }),
    ).rejects.toMatchObject({
      code: "unavailable",
      cause: expect.objectContaining({ message: "at the start" }),
    });
  });

  it("a bridge that needs a worker is invalid without one, one that lacks its means is invalid, too", async () => {
    const { store } = memoryRemote();
    const workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
    const open = (options: object) => Database.open(store, "db", { create: true, workerUrl, ...options });
    await expect(open({ worker: false, bridge: "shared-memory" })).rejects.toMatchObject({ code: "invalid" });
    await expect(open({ bridge: "sync-xhr" })).rejects.toMatchObject({ code: "invalid" });
  });
});
