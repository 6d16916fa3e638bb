import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { acquireProcessLock, type LockOwner } from "../../src/node/process-lock.ts";
import { bundle, removeTemporary, start, temporary } from "./block-child.ts";

afterAll(removeTemporary);

/** Takes and gives back the lock of a fresh directory, to learn how this process describes itself. */
async function self(): Promise<LockOwner> {
  const lock = await acquireProcessLock(temporary());
  await lock.release();
  return lock.owner;
}

function plant(directory: string, owner: LockOwner): void {
  fs.writeFileSync(path.join(directory, "lock"), JSON.stringify(owner));
}

describe("process lock", () => {
  it("is held by one handle at a time, also within a process, and given back", async () => {
    const directory = path.join(temporary(), "new", "dir");
    const lock = await acquireProcessLock(directory);
    expect(lock.path).toBe(path.join(directory, "lock"));
    await expect(acquireProcessLock(directory)).rejects.toMatchObject({
      code: "busy",
      message: expect.stringContaining("close the other handle"),
      details: { pid: process.pid, host: os.hostname(), since: lock.owner.since, path: lock.path },
    });
    await lock.release();
    await lock.release();
    expect(fs.readdirSync(directory)).toEqual([]);
    await (await acquireProcessLock(directory)).release();
  });

  it("removes the lock on release only while it is its own", async () => {
    const directory = temporary();
    const lock = await acquireProcessLock(directory);
    const other = { ...lock.owner, token: "f".repeat(32) };
    plant(directory, other);
    await lock.release();
    expect(JSON.parse(fs.readFileSync(lock.path, "utf8"))).toEqual(other);
  });

  it("takes over from an owner of an earlier boot, a pid that is gone, and a pid that was reused", async (ctx) => {
    const me = await self();
    if (me.bootId === "" || me.startTime === "")
      return ctx.skip("needs /proc to tell boots and process starts");
    const dead: LockOwner[] = [
      { ...me, bootId: "00000000-0000-0000-0000-000000000000", token: "a".repeat(32) },
      { ...me, pid: 2 ** 22 + 12_345, token: "b".repeat(32) },
      { ...me, startTime: "1", token: "c".repeat(32) },
    ];
    for (const owner of dead) {
      const directory = temporary();
      plant(directory, owner);
      const lock = await acquireProcessLock(directory);
      expect(fs.readdirSync(directory)).toEqual(["lock"]);
      await expect(acquireProcessLock(directory)).rejects.toMatchObject({ code: "busy" });
      await lock.release();
      expect(fs.readdirSync(directory)).toEqual([]);
    }
  });

  it("takes over although an earlier contender died in the middle of taking over, twice", async () => {
    const me = await self();
    const directory = temporary();
    const gone = (token: string): LockOwner => ({ ...me, pid: 2 ** 22 + 1, token: token.repeat(32) });
    plant(directory, gone("a"));
    const write = (name: string, owner: LockOwner): void =>
      fs.writeFileSync(path.join(directory, name), JSON.stringify(owner));
    write(`lock-${"a".repeat(32)}`, gone("b"));
    write(`lock-${"a".repeat(32)}-${"b".repeat(32)}`, gone("c"));
    write(`lock.new-${"d".repeat(32)}`, gone("d"));
    const lock = await acquireProcessLock(directory);
    expect(fs.readdirSync(directory)).toEqual(["lock"]);
    await lock.release();
  });

  it("never takes over from another host or another pid namespace, and says what to do", async () => {
    const me = await self();
    for (const owner of [
      { ...me, host: "elsewhere", pid: 2 ** 22 + 1, bootId: "x" },
      { ...me, pidNamespace: "pid:[1]", pid: 2 ** 22 + 1 },
    ]) {
      const directory = temporary();
      plant(directory, { ...owner, token: "e".repeat(32) });
      await expect(acquireProcessLock(directory)).rejects.toMatchObject({
        code: "busy",
        message: expect.stringContaining(`delete ${path.join(directory, "lock")}`),
      });
      expect(fs.readdirSync(directory)).toEqual(["lock"]);
    }
  });

  it("does not guess about a lock file that it cannot read", async () => {
    for (const content of [
      "",
      "{",
      "[]",
      '{"pid": 1}',
      JSON.stringify({ ...(await self()), token: "../../x" }),
    ]) {
      const directory = temporary();
      fs.writeFileSync(path.join(directory, "lock"), content);
      await expect(acquireProcessLock(directory)).rejects.toMatchObject({ code: "busy" });
    }
  });

  it("says which directory cannot be used", async () => {
    const file = path.join(temporary(), "file");
    fs.writeFileSync(file, "");
    await expect(acquireProcessLock(path.join(file, "x"))).rejects.toMatchObject({ name: "PagefoldError" });
  });
});

describe("process lock between processes", () => {
  let script: string;
  beforeAll(async () => {
    script = await bundle("lock-child.ts");
  });

  it("is busy while another process lives, naming it, and free once it is killed", async () => {
    const directory = temporary();
    const child = start(script, directory);
    await child.printed("locked");
    await expect(acquireProcessLock(directory)).rejects.toMatchObject({
      code: "busy",
      message: expect.stringContaining(`process ${child.pid} on ${os.hostname()}`),
    });
    child.process.kill("SIGKILL");
    await child.ended;
    await (await acquireProcessLock(directory)).release();
  });

  it("takes over from a killed owner whose parent has not waited for it", async (ctx) => {
    if (process.platform !== "linux") return ctx.skip("tells zombies by /proc");
    const directory = temporary();
    // The shell starts the owner and then becomes a program that never reaps it.
    const command = '"$0" "$@" & exec sleep 60';
    const parent = spawn("sh", ["-c", command, process.execPath, script, directory], { stdio: "ignore" });
    try {
      const file = path.join(directory, "lock");
      await vi.waitUntil(() => fs.existsSync(file), { timeout: 30_000 });
      const { pid } = JSON.parse(fs.readFileSync(file, "utf8")) as LockOwner;
      await expect(acquireProcessLock(directory)).rejects.toMatchObject({ code: "busy" });
      process.kill(pid, "SIGKILL");
      const state = (): string => fs.readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.[0] ?? "";
      await vi.waitUntil(() => state() === "Z", { timeout: 30_000 });
      const lock = await acquireProcessLock(directory);
      expect(lock.owner.pid).toBe(process.pid);
      await lock.release();
    } finally {
      parent.kill("SIGKILL");
    }
  });

  it("invariant 5: of processes that race for a dead owner's lock exactly one wins", async () => {
    for (let round = 0; round < 3; round++) {
      const directory = temporary();
      const owner = start(script, directory);
      await owner.printed("locked");
      owner.process.kill("SIGKILL");
      await owner.ended;
      const begin = String(Date.now() + 250);
      // The winner holds on until all have answered, so that two winners are two owners at once, however slow the machine.
      const contenders = Array.from({ length: 5 }, () => start(script, directory, begin));
      await Promise.all(contenders.map((child) => child.printed("\n")));
      const outputs = contenders.map((child) => child.output());
      for (const child of contenders) child.process.kill("SIGKILL");
      await Promise.all(contenders.map((child) => child.ended));
      expect(
        outputs.filter((text) => text.startsWith("locked")),
        outputs.join(""),
      ).toHaveLength(1);
      expect(outputs.filter((text) => text.startsWith("busy"))).toHaveLength(4);
      expect(fs.readdirSync(directory)).toEqual(["lock"]);
      await (await acquireProcessLock(directory)).release();
      expect(fs.readdirSync(directory)).toEqual([]);
    }
  });
});
