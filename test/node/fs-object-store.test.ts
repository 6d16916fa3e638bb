import { execFileSync } from "node:child_process";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readlink,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FsObjectStore } from "../../src/node/fs-object-store.ts";
import { objectStoreContract } from "../contracts/object-store.ts";

objectStoreContract(
  { describe, it },
  "file system",
  async () => {
    const directory = await mkdtemp(join(tmpdir(), "pagefold-store-"));
    return {
      store: await FsObjectStore.open(directory),
      reopen: () => FsObjectStore.open(directory),
      dispose: async () => {
        const left = await readdir(join(directory, ".tmp")).catch(() => []);
        await rm(directory, { recursive: true });
        expect(left, "temporary files left behind").toEqual([]);
      },
    };
  },
  { largeMemoryLimit: 64 * 1_048_576 },
);

describe("file-system store", () => {
  const bytes = (s: string) => new TextEncoder().encode(s);
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "pagefold-store-"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  it("says how to create a directory that is missing, and creates it when asked", async () => {
    const missing = join(directory, "a/b");
    await expect(FsObjectStore.open(missing)).rejects.toMatchObject({
      code: "not_found",
      message: expect.stringContaining("mkdir -p"),
    });
    const store = await FsObjectStore.open(missing, { create: true });
    await store.put("k", bytes("v"));
    expect(await store.get("k")).toEqual(bytes("v"));
    await store.close();
  });

  it("refuses what is no directory", async () => {
    await writeFile(join(directory, "file"), "x");
    for (const create of [true, false]) {
      for (const path of ["file", "file/below"]) {
        await expect(FsObjectStore.open(join(directory, path), { create })).rejects.toMatchObject({
          code: "invalid",
        });
      }
    }
  });

  it("reports a directory that vanished, and never makes it anew", async () => {
    const store = await FsObjectStore.open(directory);
    await store.put("a/b", bytes("v"));
    await rm(directory, { recursive: true });
    await expect(store.get("a/b")).rejects.toMatchObject({ code: "not_found" });
    await expect(store.list("")).rejects.toMatchObject({ code: "not_found" });
    await expect(store.put("a/b", bytes("v"))).rejects.toMatchObject({ code: "not_found" });
    await expect(store.put("a/b", bytes("v"))).rejects.toMatchObject({ code: "not_found" });
    await expect(stat(directory)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("refuses a key that is the directory of others, and the other way round", async () => {
    const store = await FsObjectStore.open(directory);
    await store.put("a/b", bytes("v"));
    for (const ifAbsent of [true, false]) {
      await expect(store.put("a", bytes("v"), { ifAbsent })).rejects.toMatchObject({ code: "invalid" });
      await expect(store.put("a/b/c", bytes("v"), { ifAbsent })).rejects.toMatchObject({ code: "invalid" });
    }
    expect(await store.get("a")).toBeUndefined();
    expect(await store.get("a/b/c")).toBeUndefined();
    await store.delete(["a", "a/b/c"]);
    expect(await store.get("a/b")).toEqual(bytes("v"));
  });

  it("keeps the engine's keys as plain paths", async () => {
    const store = await FsObjectStore.open(directory);
    await store.put("volumes/01arz3ndektsv4rrffq69g5fav/commits/zzzz", bytes("v"));
    expect((await stat(join(directory, "volumes/01arz3ndektsv4rrffq69g5fav/commits/zzzz"))).size).toBe(1);
  });

  it("sees what another process replaced, removed or cut, through open descriptors", async () => {
    const store = await FsObjectStore.open(directory);
    const other = await FsObjectStore.open(directory);
    const range = { offset: 1, length: 2 };
    await store.put("x", bytes("first"));
    expect(await store.get("x", { range })).toEqual(bytes("ir"));
    await other.put("x", bytes("other"));
    expect(await store.get("x", { range })).toEqual(bytes("th"));
    await truncate(join(directory, "x"), 2);
    expect(await store.get("x", { range })).toEqual(bytes("t"));
    await other.delete(["x"]);
    expect(await store.get("x", { range })).toBeUndefined();
    expect(await other.put("x", bytes("again"), { ifAbsent: true })).toBe("created");
    expect(await store.get("x")).toEqual(bytes("again"));
    expect(await store.put("x", bytes("lost"), { ifAbsent: true })).toBe("exists");
  });

  it("keeps a bounded number of files open, and none after close", async (context) => {
    if (process.platform !== "linux") context.skip("needs /proc to see open files");
    const store = await FsObjectStore.open(directory, { openFilesMax: 4 });
    const keys = Array.from({ length: 40 }, (_, i) => `f/${i}`);
    for (const key of keys) await store.put(key, bytes(key));
    const opened = async () => {
      const fds = await readdir("/proc/self/fd");
      const files = await Promise.all(
        fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "closed meanwhile")),
      );
      return files.filter((file) => file.startsWith(directory)).length;
    };
    for (let round = 0; round < 3; round++) {
      const got = await Promise.all(keys.map((key) => store.get(key, { range: { offset: 0, length: 9 } })));
      expect(got).toEqual(keys.map(bytes));
    }
    // Files are closed when whoever reads them has ended.
    await expect.poll(opened).toBeLessThanOrEqual(4);
    const late = store.get("f/1");
    await store.close();
    expect(await late).toEqual(bytes("f/1"));
    await expect.poll(opened).toBe(0);
    await expect(store.get("f/1")).rejects.toMatchObject({ code: "closed" });
  });

  it("removes stale temporary files at open, and only those", async () => {
    await mkdir(join(directory, ".tmp"));
    for (const name of ["old", "new"]) await writeFile(join(directory, ".tmp", name), "x");
    const twoHoursAgo = Date.now() / 1000 - 7200;
    await utimes(join(directory, ".tmp/old"), twoHoursAgo, twoHoursAgo);
    const store = await FsObjectStore.open(directory);
    expect(await readdir(join(directory, ".tmp"))).toEqual(["new"]);
    expect(await store.list("")).toEqual([]);
  });

  it("removes directories with their last object, while others write into them", async () => {
    const stores = await Promise.all([1, 2, 3].map(() => FsObjectStore.open(directory)));
    await Promise.all(
      stores.map(async (store, i) => {
        for (let n = 0; n < 60; n++) {
          expect(await store.put(`d/e/${i}`, bytes("v"), { ifAbsent: true })).toBe("created");
          await store.delete([`d/e/${i}`]);
        }
      }),
    );
    expect(await stores[0]?.list("")).toEqual([]);
    expect(await readdir(directory)).toEqual([".tmp"]);
  });

  it("lists a directory larger than it holds at a time", async () => {
    await mkdir(join(directory, "big"));
    const names = Array.from({ length: 5000 }, (_, i) => `n${String(i).padStart(5, "0")}`);
    await Promise.all(names.map((name) => writeFile(join(directory, "big", name), "1")));
    const store = await FsObjectStore.open(directory);
    const keys: string[] = [];
    for (;;) {
      const last = keys.at(-1);
      const page = await store.list("big/", {
        limit: 999,
        ...(last === undefined ? {} : { startAfter: last }),
      });
      keys.push(...page.map((entry) => entry.key));
      if (page.length < 999) break;
    }
    expect(keys).toEqual(names.map((name) => `big/${name}`));
    expect((await store.list("big/", { limit: 1_000_000 })).length).toBe(5000);
  });

  it("reports a directory that may not be written, and one that may not be read", async (ctx) => {
    if (process.getuid?.() === 0) return ctx.skip("root may write everywhere");
    const store = await FsObjectStore.open(directory);
    await store.put("k", bytes("v"));
    await chmod(directory, 0o500);
    await expect(store.put("new/k", bytes("v"))).rejects.toMatchObject({ code: "forbidden" });
    await chmod(directory, 0o700);
  });
});

describe("file-system store on a full disk", () => {
  it("reports quota and leaves what was there", async (ctx) => {
    const mount = await mkdtemp(join(tmpdir(), "pagefold-full-"));
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], { stdio: "ignore" });
    } catch {
      await rm(mount, { recursive: true });
      return ctx.skip("a tmpfs cannot be mounted here");
    }
    try {
      const store = await FsObjectStore.open(mount);
      await store.put("kept", new Uint8Array(100_000).fill(1));
      const big = new Uint8Array(2_000_000).fill(2);
      await expect(store.put("big", big, { ifAbsent: true })).rejects.toMatchObject({ code: "quota" });
      await expect(store.put("kept", big)).rejects.toMatchObject({ code: "quota" });
      expect((await store.get("kept"))?.length).toBe(100_000);
      expect((await store.list("")).map((entry) => entry.key)).toEqual(["kept"]);
      expect(await store.put("small", new Uint8Array(100_000), { ifAbsent: true })).toBe("created");
      await store.close();
    } finally {
      execFileSync("umount", [mount]);
      await rm(mount, { recursive: true });
    }
  });

  it("reports forbidden on a read-only file system, and reads on", async (ctx) => {
    const mount = await mkdtemp(join(tmpdir(), "pagefold-ro-"));
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], { stdio: "ignore" });
    } catch {
      await rm(mount, { recursive: true });
      return ctx.skip("a tmpfs cannot be mounted here");
    }
    try {
      const writer = await FsObjectStore.open(mount);
      await writer.put("k", new Uint8Array(10));
      await writer.close();
      execFileSync("mount", ["-o", "remount,ro", mount]);
      const store = await FsObjectStore.open(mount);
      expect((await store.get("k"))?.length).toBe(10);
      for (const ifAbsent of [true, false]) {
        await expect(store.put("k2", new Uint8Array(10), { ifAbsent })).rejects.toMatchObject({
          code: "forbidden",
        });
      }
      await expect(store.delete(["k"])).rejects.toMatchObject({ code: "forbidden" });
      await store.close();
    } finally {
      execFileSync("umount", [mount]);
      await rm(mount, { recursive: true });
    }
  });
});
