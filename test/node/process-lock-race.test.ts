/** Take-overs interleaved on purpose: another contender acts exactly between two system calls of this one. */
import * as fs from "node:fs";
import * as path from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { acquireProcessLock, type LockOwner } from "../../src/node/process-lock.ts";
import { removeTemporary, temporary } from "./block-child.ts";

/** Called before each link with the path that is about to appear. */
const hook = vi.hoisted(() => ({ beforeLink: (_target: string): void => {} }));

vi.mock("node:fs", async (importOriginal) => {
  const actual = await importOriginal<typeof import("node:fs")>();
  return {
    ...actual,
    linkSync: (existing: string, target: string) => {
      hook.beforeLink(target);
      actual.linkSync(existing, target);
    },
  };
});

afterEach(() => {
  hook.beforeLink = () => {};
  removeTemporary();
});

const DEAD = "a".repeat(32);

async function deadLock(): Promise<{ directory: string; file: string; alive: LockOwner }> {
  const probe = await acquireProcessLock(temporary());
  await probe.release();
  const directory = temporary();
  const file = path.join(directory, "lock");
  fs.writeFileSync(file, JSON.stringify({ ...probe.owner, pid: 2 ** 22 + 1, token: DEAD }));
  return { directory, file, alive: { ...probe.owner, token: "b".repeat(32) } };
}

describe("process lock, interleaved", () => {
  it("invariant 5: does not replace an owner that took over after the dead one was seen", async () => {
    const { directory, file, alive } = await deadLock();
    let interleaved = 0;
    hook.beforeLink = (target) => {
      if (target !== `${file}-${DEAD}`) return;
      hook.beforeLink = () => {};
      interleaved++;
      // Another process claims, replaces the dead owner and gives up its claim, all in this moment.
      fs.writeFileSync(file, JSON.stringify(alive));
    };
    await expect(acquireProcessLock(directory)).rejects.toMatchObject({ code: "busy" });
    expect(interleaved).toBe(1);
    expect(JSON.parse(fs.readFileSync(file, "utf8"))).toEqual(alive);
    expect(fs.readdirSync(directory)).toEqual(["lock"]);
  });

  it("takes the lock when the new owner has come and gone in between", async () => {
    const { directory, file } = await deadLock();
    hook.beforeLink = (target) => {
      if (target !== `${file}-${DEAD}`) return;
      hook.beforeLink = () => {};
      fs.rmSync(file);
    };
    const lock = await acquireProcessLock(directory);
    expect(JSON.parse(fs.readFileSync(file, "utf8"))).toEqual(lock.owner);
    expect(fs.readdirSync(directory)).toEqual(["lock"]);
  });

  it("is busy while a living contender is taking over, and leaves the dead owner to it", async () => {
    const { directory, file, alive } = await deadLock();
    fs.writeFileSync(`${file}-${DEAD}`, JSON.stringify(alive));
    const before = fs.readFileSync(file, "utf8");
    await expect(acquireProcessLock(directory)).rejects.toMatchObject({ code: "busy" });
    expect(fs.readFileSync(file, "utf8")).toBe(before);
    expect(fs.readdirSync(directory).sort()).toEqual(["lock", `lock-${DEAD}`]);
  });
});
