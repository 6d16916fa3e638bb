/** The past on the command line: differences, the log between points, old states by time, tags that move. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FsObjectStore } from "../../src/node/fs-object-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import { Database } from "../../vfs/index.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { codecs } from "../store/support.ts";
import { runCli, temporaryFolder } from "./cli.ts";
import { failHere, jsonHere, runHere } from "./here.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: string[];
let volume: string;
/** Of the commits; a minute lies between them. */
const times: number[] = [];
const at = (...names: string[]): string => join(folder.path, ...names);

/** A store whose commits were made at known times. */
beforeAll(async () => {
  folder = await temporaryFolder();
  store = ["--store", at("store")];
  const runtime = new SimRuntime(5);
  const remote = await FsObjectStore.open(at("store"), { create: true });
  const pages = await PageStore.open({ remote, codecs, runtime });
  volume = (await pages.createVolume({ tag: "shop" })).id;
  await pages.createVolume({ tag: "empty" });
  const database = await Database.open(pages, "shop", { bridge: "resident-only" });
  for (const sql of [
    "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT); CREATE INDEX items_name ON items(name); CREATE TABLE other(a)",
    "INSERT INTO items VALUES (1, 'lamp')",
    "INSERT INTO other VALUES (zeroblob(9000)); DROP INDEX items_name",
  ]) {
    await database.script(sql);
    await database.push();
    times.push(runtime.now());
    runtime.advance(60_000);
  }
  await database.close();
  await pages.close();
});

afterAll(async () => folder?.remove());

const iso = (lsn: number): string => new Date(times[lsn - 1]!).toISOString();

describe("diff", () => {
  it("tells pages and tables as JSON", async () => {
    const { objects, ...diff } = await jsonHere<{ objects: object[] }>([
      "diff",
      "shop",
      "1",
      iso(2),
      ...store,
    ]);
    expect(diff).toMatchObject({ volume, from: 1, to: 2, exact: false, gonePages: 0, unknownPages: 0 });
    expect(objects).toEqual([
      { kind: "table", name: "items", table: "items", change: "content", pages: 1 },
      { kind: "index", name: "items_name", table: "items", change: "content", pages: 1 },
    ]);
  });

  it("tells people the same, to the newest commit where only one point is given", async () => {
    const { code, stdout } = await runCli(["diff", "shop", "2", ...store]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^from +2\nto +3\nchangedPages +\d/);
    expect(stdout).toMatch(/^change +kind +name +of +pages$/m);
    expect(stdout).toMatch(/^content +table +other +\d$/m);
    expect(stdout).toMatch(/^dropped +index +items_name +items +0$/m);
  });

  it("takes a span for a point, and refuses what is neither that nor an option", async () => {
    const diff = await jsonHere(["diff", "shop", "-2h", "--exact", ...store]);
    expect(diff, "nothing was pushed in the last two hours").toMatchObject({ from: 3, to: 3, exact: true });
    expect(diff.changedPages).toBe(0);
    const { exit, message } = await failHere(["diff", "shop", "--exakt", "2", ...store]);
    expect(exit).toBe(2);
    expect(message).toContain("--exakt");
  });
});

describe("log", () => {
  it("shows the commits between two points, those of a page, and those up to a time", async () => {
    const lsns = async (...options: string[]): Promise<number[]> =>
      (await jsonHere<{ lsn: number }[]>(["log", "shop", ...options, ...store])).map(({ lsn }) => lsn);
    expect(await lsns("--since", "2", "--until", iso(3))).toEqual([3, 2]);
    expect(await lsns("--at", iso(2), "--page", "1", "--limit", "1")).toEqual([2]);
    const { code } = await runHere(["log", "shop", "--at", "2", "--until", "2", ...store]);
    expect(code).toBe(2);
    const none = await runHere(["log", "empty", ...store]);
    expect([none.code, none.stdout, none.stderr]).toEqual([0, "", "no commits\n"]);
  });
});

describe("--at", () => {
  it("read and export show the state of a time, --lsn that of a commit", async () => {
    const sizes = [];
    for (const past of [
      ["--at", iso(1)],
      ["--lsn", "1"],
      ["--at", "3"],
    ]) {
      const file = at(`export-${sizes.length}.db`);
      await jsonHere(["export", "shop", file, ...past, ...store]);
      sizes.push((await readFile(file)).length);
    }
    expect(sizes[1]).toBe(sizes[0]);
    expect(sizes[2]).toBeGreaterThan(sizes[0]!);
    const { bytes } = await runHere(["read", "shop", "--at", iso(1), ...store]);
    expect(bytes.equals(await readFile(at("export-0.db")))).toBe(true);
    const early = await failHere(["read", "shop", "--at", "2001-01-01", ...store]);
    expect(early).toMatchObject({ exit: 1, code: "not_found" });
    expect((await failHere(["read", "shop", "--at", "1", "--lsn", "1", ...store])).exit).toBe(2);
  });

  it("a local replica learns of commits that it has not seen", async () => {
    const local = ["--local", at("replica")];
    await jsonHere(["clone", "empty", ...store, ...local]);
    await writeFile(at("bytes"), "hello");
    await jsonHere(["import", at("bytes"), "--tag", "empty", ...store]);
    const { bytes } = await runHere(["read", "empty", "--at", "1", ...store, ...local]);
    expect(bytes.toString()).toBe("hello");
  });
});

describe("tag", () => {
  it("is set, moved where it names what is expected, removed, and remembers all of it", async () => {
    const other = (await jsonHere<{ volume: string; tag: string }[]>(["tags", ...store])).find(
      ({ tag }) => tag === "empty",
    )!.volume;
    expect(await jsonHere(["tag", "set", "live", "shop", ...store])).toEqual({
      ...{ tag: "live", volume, before: null },
    });
    const wrong = await failHere(["tag", "set", "live", other, "--expect", "empty", ...store]);
    expect(wrong).toMatchObject({ exit: 1, code: "conflict" });
    expect(await jsonHere(["tag", "set", "live", other, "--expect", "shop", ...store])).toEqual({
      ...{ tag: "live", volume: other, before: volume },
    });
    expect(await jsonHere(["tag", "rm", "live", "--expect", other, ...store])).toEqual({
      ...{ tag: "live", before: other },
    });
    const history = await jsonHere<{ n: number; volume: string | null; time: string }[]>([
      ...["tag", "history", "live"],
      ...store,
    ]);
    expect(history.map(({ n, volume: named }) => [n, named])).toEqual([
      [3, null],
      [2, other],
      [1, volume],
    ]);
    expect((await failHere(["tag", "history", "never", ...store])).code).toBe("not_found");
  });
});
