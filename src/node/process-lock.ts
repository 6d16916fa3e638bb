/**
 * One process owns a local directory at a time. The owner is a file that names host, boot, pid and process start; it appears
 * whole (a link of a finished file) and only if absent. An owner that is known to be dead is replaced race-free; one that may
 * be alive, on another host or in another pid namespace, never is.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { threadId } from "node:worker_threads";
import { PagefoldError } from "../base/errors.ts";
import { type Runtime, systemRuntime } from "../base/runtime.ts";
import { createDirectory, errnoOf, fsError } from "./fs-block-file.ts";

/** Who holds a lock, as its file says. Fields that the platform does not tell are empty strings. */
export interface LockOwner {
  readonly host: string;
  readonly bootId: string;
  /** Pids of two namespaces (containers) cannot be compared. */
  readonly pidNamespace: string;
  readonly pid: number;
  /** The thread of the process that took it; absent in locks of earlier versions. */
  readonly thread?: number;
  /** Kernel's start time of the process, in ticks since boot: tells a reused pid from the owner. */
  readonly startTime: string;
  /** ISO 8601, for messages only. */
  readonly since: string;
  /** Random: names this one acquisition. */
  readonly token: string;
}

export interface ProcessLock {
  /** Path of the lock file. */
  readonly path: string;
  readonly owner: LockOwner;
  /** Removes the lock file if it is still ours. Idempotent. */
  release(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ProcessLockOptions {
  readonly runtime?: Runtime;
}

/** How often a contender looks again while another process is in the middle of a take-over. */
const TAKEOVER_RETRIES = 40;
const TAKEOVER_WAIT_MS = 25;

/**
 * Takes the lock of `directory` (created where it is absent) for this process.
 *
 * @throws `busy` while another process, or another handle in this one, holds it: the message and `details` name the owner
 */
export async function acquireProcessLock(
  directory: string,
  options: ProcessLockOptions = {},
): Promise<ProcessLock> {
  const runtime = options.runtime ?? systemRuntime;
  const file = path.join(path.resolve(directory), "lock");
  const owner = describeSelf(runtime);
  try {
    createDirectory(path.dirname(file));
    const temporary = `${file}.new-${owner.token}`;
    writeWhole(temporary, owner);
    try {
      await claim(file, temporary, owner, runtime);
    } finally {
      fs.rmSync(temporary, { force: true });
    }
    sweep(file);
  } catch (e) {
    throw fsError("lock", file, e);
  }
  const release = async (): Promise<void> => {
    try {
      releaseIfOurs(file, owner.token);
    } catch (e) {
      throw fsError("release", file, e);
    }
  };
  return { path: file, owner, release, [Symbol.asyncDispose]: release };
}

/**
 * Gives back the lock that a thread of this process has left behind when it was terminated or failed: as long as the process lives, nobody else
 * can tell that this owner is gone. To be called when the thread has ended; does nothing where it holds no lock of `directory`.
 */
export function releaseLockOfThread(directory: string, thread: number): void {
  const file = path.join(path.resolve(directory), "lock");
  try {
    const owner = readOwner(file);
    if (owner !== undefined && owner.thread === thread && isThisProcess(owner))
      releaseIfOurs(file, owner.token);
  } catch (e) {
    throw fsError("release", file, e);
  }
}

/**
 * Makes `file` ours. A dead owner S is replaced only by the one process that holds `<file>-<S.token>`, itself claimed in the
 * same way, and only after looking again that S still stands there: of two processes that both see S dead, the second
 * finds either the claim taken or S gone. A claimant that dies half-way is replaced by the same rule, one level down.
 */
async function claim(file: string, temporary: string, self: LockOwner, runtime: Runtime): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    if (linkIfAbsent(temporary, file)) return;
    const current = readOwner(file);
    if (current === undefined) continue; // released in between
    if (!isDead(current)) throw busyError(file, current);
    const claimFile = `${file}-${current.token}`;
    try {
      await claim(claimFile, temporary, self, runtime);
    } catch (e) {
      // Another process is taking over: it will finish within moments, or die and be replaced.
      if (!(e instanceof PagefoldError) || e.code !== "busy" || attempt >= TAKEOVER_RETRIES) throw e;
      await runtime.sleep(TAKEOVER_WAIT_MS * (0.5 + runtime.random()));
      continue;
    }
    try {
      if (readOwner(file)?.token === current.token) {
        const replacement = `${temporary}-r`;
        writeWhole(replacement, self);
        fs.renameSync(replacement, file);
        return;
      }
    } finally {
      releaseIfOurs(claimFile, self.token);
    }
  }
}

/** Links the finished file into place; false when something is there already. */
function linkIfAbsent(temporary: string, file: string): boolean {
  try {
    fs.linkSync(temporary, file);
    return true;
  } catch (e) {
    const errno = errnoOf(e);
    if (errno === "EEXIST") return false;
    // File systems without hard links (FAT, some network mounts): exclusive creation, then the content.
    if (errno !== "EPERM" && errno !== "ENOTSUP" && errno !== "EOPNOTSUPP" && errno !== "ENOSYS") throw e;
  }
  try {
    fs.writeFileSync(file, fs.readFileSync(temporary), { flag: "wx", flush: true });
    return true;
  } catch (e) {
    if (errnoOf(e) === "EEXIST") return false;
    throw e;
  }
}

function writeWhole(file: string, owner: LockOwner): void {
  fs.writeFileSync(file, `${JSON.stringify(owner, null, 1)}\n`, { flag: "wx", mode: 0o600, flush: true });
}

function releaseIfOurs(file: string, token: string): void {
  if (readOwner(file)?.token === token) fs.rmSync(file, { force: true });
}

/** Removes what contenders that died in the middle of a take-over left behind. Never touches the lock itself. */
function sweep(file: string): void {
  const directory = path.dirname(file);
  const base = path.basename(file);
  for (const name of fs.readdirSync(directory)) {
    if (!name.startsWith(`${base}.new-`) && !name.startsWith(`${base}-`)) continue;
    const leftover = path.join(directory, name);
    try {
      const owner = readOwner(leftover);
      if (owner !== undefined && isDead(owner)) fs.rmSync(leftover, { force: true });
    } catch {
      // Cosmetic: an unreadable leftover stays.
    }
  }
}

/** The owner that a lock file names; undefined when there is no file; `busy` when its content names nobody. */
function readOwner(file: string): LockOwner | undefined {
  let text: string;
  try {
    text = fs.readFileSync(file, "utf8");
  } catch (e) {
    if (errnoOf(e) === "ENOENT") return undefined;
    throw e;
  }
  try {
    const value: unknown = JSON.parse(text);
    if (isLockOwner(value)) return value;
  } catch {
    // Falls through: whoever wrote it may be alive.
  }
  throw new PagefoldError(
    "busy",
    `${file} names no owner that can be read; if no process uses ${path.dirname(file)}, delete that file and retry`,
    { details: { path: file } },
  );
}

function isLockOwner(value: unknown): value is LockOwner {
  if (typeof value !== "object" || value === null) return false;
  const o = value as Record<string, unknown>;
  const texts = [o.host, o.bootId, o.pidNamespace, o.startTime, o.since, o.token];
  return (
    texts.every((text) => typeof text === "string") &&
    /^[0-9a-f]{16,64}$/.test(String(o.token)) &&
    Number.isSafeInteger(o.pid) &&
    Number(o.pid) > 0
  );
}

function describeSelf(runtime: Runtime): LockOwner {
  const token = Buffer.from(runtime.randomBytes(new Uint8Array(16))).toString("hex");
  return {
    host: os.hostname(),
    bootId: readBootId(),
    pidNamespace: readPidNamespace(),
    pid: process.pid,
    thread: threadId,
    startTime: readProcess(process.pid).startTime,
    since: new Date(runtime.now()).toISOString(),
    token,
  };
}

/** Whether `owner` is known to be gone. Anything in doubt is alive: two writers on one store are worse than a stale lock. */
function isDead(owner: LockOwner): boolean {
  if (owner.host !== os.hostname()) return false;
  const bootId = readBootId();
  if (owner.bootId !== "" && bootId !== "" && owner.bootId !== bootId) return true;
  if (owner.pidNamespace !== readPidNamespace()) return false;
  const found = readProcess(owner.pid);
  if (!found.exists) return true;
  return owner.startTime !== "" && found.startTime !== "" && owner.startTime !== found.startTime;
}

function isThisProcess(owner: LockOwner): boolean {
  return (
    owner.host === os.hostname() && owner.pid === process.pid && owner.pidNamespace === readPidNamespace()
  );
}

/** Whether a pid runs here, and since when. A zombie no longer holds anything. */
function readProcess(pid: number): { exists: boolean; startTime: string } {
  if (process.platform === "linux") {
    try {
      // Field 2 is the command in parentheses and may contain anything; what follows the last ")" is plain.
      const text = fs.readFileSync(`/proc/${pid}/stat`, "latin1");
      const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
      const state = fields[0] ?? "";
      return { exists: state !== "Z" && state !== "X", startTime: fields[19] ?? "" };
    } catch {
      // No such process, or no /proc: the signal decides.
    }
  }
  try {
    process.kill(pid, 0);
    return { exists: true, startTime: "" };
  } catch (e) {
    return { exists: errnoOf(e) !== "ESRCH", startTime: "" };
  }
}

function readBootId(): string {
  try {
    return fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return "";
  }
}

function readPidNamespace(): string {
  try {
    return fs.readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

function busyError(file: string, owner: LockOwner): PagefoldError {
  const here = owner.host === os.hostname();
  const advice = isThisProcess(owner)
    ? "close the other handle in this process first"
    : here && owner.pidNamespace === readPidNamespace()
      ? "wait until it ends or stop it"
      : `if that process is gone for certain, delete ${file} and retry`;
  return new PagefoldError(
    "busy",
    `${path.dirname(file)} is in use by process ${owner.pid} on ${owner.host} since ${owner.since} (${file}); ${advice}`,
    {
      details: {
        path: file,
        owner: `${owner.pid}@${owner.host}`,
        pid: owner.pid,
        host: owner.host,
        since: owner.since,
      },
    },
  );
}
