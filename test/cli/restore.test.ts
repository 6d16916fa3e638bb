/** `pagefold restore`: by LSN and by time, without and with a local replica, and what it refuses. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FsObjectStore } from "../../src/node/fs-object-store.ts";
import { openStore } from "../../src/node/index.ts";
import { PageStore } from "../../src/store/page-store.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { codecs } from "../store/support.ts";
import { temporaryFolder } from "./cli.ts";
import { failHere, jsonHere, runHere } from "./here.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: string[];
let volume: string;
const times: number[] = [];
const utf8 = new TextEncoder();

beforeAll(async () => {
  folder = await temporaryFolder();
  const place = join(folder.path, "store");
  store = ["--store", place];
  const runtime = new SimRuntime(5);
  const remote = await FsObjectStore.open(place, { create: true });
  const pages = await PageStore.open({ remote, codecs, runtime });
  const notes = await pages.createVolume({ tag: "notes", pageSize: 512 });
  volume = notes.id;
  for (const text of ["one", "two", "three"]) {
    await notes.write(0, utf8.encode(text));
    await notes.push();
    times.push(runtime.now());
    runtime.advance(60_000);
  }
  await pages.close();
});

afterAll(async () => folder?.remove());

const text = async (...more: string[]): Promise<string> => {
  const out = join(folder.path, "out");
  await jsonHere(["export", "notes", out, ...more, ...store]);
  return readFile(out, "utf8");
};

describe("restore", () => {
  it("makes an old state the newest, and says what it did; what was between stays in the log", async () => {
    const result = await jsonHere(["restore", "notes", "--at", "1", ...store]);
    expect(result).toEqual({
      ...{ volume, lsn: 4, from: 1, changedPages: 1, restored: true },
      requests: expect.any(Number),
      ms: expect.any(Number),
    });
    expect(await text()).toBe("one");
    expect(
      await jsonHere(["restore", "notes", "--at", new Date(times[1]! + 1).toISOString(), ...store]),
    ).toMatchObject({ lsn: 5, from: 2 });
    // A volume as long as "three" was at LSN 3, and is now.
    expect(await text()).toBe("two");
    expect(await text("--lsn", "3")).toMatch(/^three/);
  });

  it("to what is there already is told on stderr, and makes no commit", async () => {
    const { code, stdout, stderr } = await runHere(["restore", "notes", "--at", "5", ...store]);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/restored +(false|no)/)]);
    expect(stderr).toMatch(/has the state of LSN 5 already/);
  });

  it("moves a local replica along, and refuses local commits", async () => {
    const local = ["--local", join(folder.path, "replica")];
    await jsonHere(["clone", "notes", ...local, ...store]);
    const { lsn } = await jsonHere<{ lsn: number }>(["restore", "notes", "--at", "3", ...local, ...store]);
    expect(await jsonHere(["status", "notes", ...local, ...store])).toMatchObject({ lsn, state: "clean" });
    const pages = await openStore(store[1]!, { local: local[1]! });
    await (await pages.volume("notes")).write(0, utf8.encode("local"));
    await pages.close();
    expect(await failHere(["restore", "notes", "--at", "1", ...local, ...store])).toMatchObject({
      code: "conflict",
      exit: 1,
    });
  });

  it("to 0 is the empty volume; what does not exist, or is no point, is refused", async () => {
    expect(await jsonHere(["restore", "notes", "--at", "0", ...store])).toMatchObject({
      from: 0,
      restored: true,
    });
    expect(await text()).toBe("");
    expect(await failHere(["restore", "notes", "--at", "99", ...store])).toMatchObject({ code: "not_found" });
    expect((await runHere(["restore", "notes", "--at", "soon", ...store])).code).toBe(2);
    expect((await runHere(["restore", "notes", ...store])).code).toBe(2);
  });
});
