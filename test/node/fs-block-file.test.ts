import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { createDirectory, FsBlockFileSystem } from "../../src/node/fs-block-file.ts";
import { blockFileContract } from "../contracts/block-file.ts";

const made: string[] = [];

function temporary(): string {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "pagefold-block-"));
  made.push(dir);
  return dir;
}

function removeAll(): void {
  for (const dir of made.splice(0)) fs.rmSync(dir, { recursive: true, force: true });
}

blockFileContract({ describe, it }, "file system", async () => {
  const dir = path.join(temporary(), "deep", "er");
  return { files: new FsBlockFileSystem(dir), reopen: () => new FsBlockFileSystem(dir), cleanup: removeAll };
});

describe("FsBlockFileSystem", () => {
  it("a directory that cannot be made is an error, not a hang", (context) => {
    if (!fs.existsSync("/proc/self")) context.skip("no /proc here");
    expect(() => createDirectory("/proc/pagefold-test/local")).toThrow(/ENOENT|EACCES|EPERM/);
  });

  afterEach(removeAll);

  it("is empty where the directory does not exist, and creates it at the first open", async () => {
    const dir = path.join(temporary(), "not", "yet");
    const files = new FsBlockFileSystem(dir);
    expect(await files.list()).toEqual([]);
    expect(await files.exists("a")).toBe(false);
    await files.remove("a");
    expect(fs.existsSync(dir)).toBe(false);
    await (await files.open("a")).close();
    expect(await files.list()).toEqual(["a"]);
  });

  it("refuses names that would leave the directory", async () => {
    const files = new FsBlockFileSystem(temporary());
    for (const name of ["../x", "a/b", "", ".", "..", ".hidden", "a\0b"]) {
      await expect(files.open(name)).rejects.toMatchObject({ code: "invalid" });
      await expect(files.remove(name)).rejects.toMatchObject({ code: "invalid" });
    }
  });

  it("says which path cannot be opened and why", async () => {
    const dir = temporary();
    fs.writeFileSync(path.join(dir, "file"), "x");
    const below = new FsBlockFileSystem(path.join(dir, "file", "below"));
    await expect(below.open("a")).rejects.toMatchObject({ name: "PagefoldError" });
    fs.mkdirSync(path.join(dir, "taken"));
    await expect(new FsBlockFileSystem(dir).open("taken")).rejects.toMatchObject({ code: "invalid" });
  });

  it("reports a full disk as quota and keeps what was there", async (ctx) => {
    // A device that has no space ever, on every Linux.
    if (!fs.existsSync("/dev/full")) return ctx.skip("needs /dev/full");
    const dir = temporary();
    fs.symlinkSync("/dev/full", path.join(dir, "full"));
    const file = await new FsBlockFileSystem(dir).open("full");
    expect(() => file.writeAt(0, new Uint8Array(10))).toThrow(expect.objectContaining({ code: "quota" }));
    await file.close();
  });

  it("poisons the file after a failed flush until it is reopened", async (ctx) => {
    // fdatasync of a character device fails with EINVAL: a failing flush without mocking.
    if (!fs.existsSync("/dev/full")) return ctx.skip("needs /dev/full");
    const dir = temporary();
    fs.symlinkSync("/dev/full", path.join(dir, "device"));
    const files = new FsBlockFileSystem(dir);
    const file = await files.open("device");
    expect(() => file.flush()).toThrow(expect.objectContaining({ code: "unavailable" }));
    const poisoned = expect.objectContaining({
      code: "unavailable",
      message: expect.stringContaining("reopen"),
    });
    expect(() => file.writeAt(0, new Uint8Array(1))).toThrow(poisoned);
    expect(() => file.truncate(0)).toThrow(poisoned);
    expect(() => file.flush()).toThrow(poisoned);
    await expect(file.durable()).rejects.toMatchObject({ code: "unavailable" });
    expect(file.readAt(0, new Uint8Array(4))).toBe(4);
    await file.close();
    const again = await files.open("device");
    expect(again.readAt(0, new Uint8Array(4))).toBe(4);
    await again.close();
  });
});
