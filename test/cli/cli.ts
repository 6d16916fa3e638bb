/** Runs the built command as users do: a process of its own, arguments, stdin, and what comes out of it. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const commandFile = fileURLToPath(
  new URL(process.env.PAGEFOLD_TEST_COMMAND ?? "../../dist/cli.js", import.meta.url),
);

export interface CliResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly bytes: Buffer;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly result: Promise<CliResult>;
}

export interface CliOptions {
  /** Bytes for stdin; "open" leaves it open until the caller ends it; default: nothing at all. */
  readonly stdin?: Uint8Array | string | "open";
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts `pagefold ARGS…`. */
export function startCli(args: readonly string[], options: CliOptions = {}): RunningCli {
  if (!existsSync(commandFile)) throw new Error("dist/cli.js is missing: run npm run build first");
  const { PAGEFOLD_STORE: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [commandFile, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...inherited, NO_COLOR: "1", ...options.env },
    // A command that hangs fails its test and nothing else.
    timeout: 50_000,
    killSignal: "SIGKILL",
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  // A command that refuses its arguments does not read stdin.
  child.stdin.on("error", () => {});
  if (options.stdin !== "open") child.stdin.end(options.stdin);
  const result = new Promise<CliResult>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      const bytes = Buffer.concat(out);
      resolve({
        code,
        signal,
        bytes,
        stdout: bytes.toString("utf8"),
        stderr: Buffer.concat(err).toString("utf8"),
      });
    });
  });
  return { child, result };
}

export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return startCli(args, options).result;
}

/** Runs with --json, expects success and answers with the parsed document. */
export async function runJson<T = Record<string, unknown>>(
  args: readonly string[],
  options: CliOptions = {},
): Promise<T> {
  const { code, stdout, stderr } = await runCli([...args, "--json"], options);
  if (code !== 0) throw new Error(`pagefold ${args.join(" ")} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

export interface JsonFailure {
  readonly exit: number | null;
  readonly code: string;
  readonly message: string;
  readonly details: Record<string, unknown>;
}

/** Runs with --json, expects failure and answers with the error document. */
export async function failJson(args: readonly string[], options: CliOptions = {}): Promise<JsonFailure> {
  const { code, stdout, stderr } = await runCli([...args, "--json"], options);
  if (code === 0) throw new Error(`pagefold ${args.join(" ")} succeeded: ${stdout}`);
  const lines = stderr.trim().split("\n");
  const { error } = JSON.parse(lines.at(-1) ?? "") as { error: Omit<JsonFailure, "exit"> };
  return { ...error, exit: code };
}

/** A folder for one test file, and the way to remove it. */
export async function temporaryFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "pagefold-cli-"));
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}

/** Every file below a folder, as paths. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/**
 * Every object of a store in a directory, as paths, but for the hint where a log ends: that is written beside a push, which does not wait for it, and
 * may be under way, in a temporary file, when the command has ended.
 */
export async function objectsBelow(store: string): Promise<string[]> {
  const files = await filesBelow(store);
  return files.filter((file) => !/^\.tmp\/|\/head$/.test(relative(store, file))).sort();
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Polls until `condition` holds; fails loudly instead of hanging. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  timeoutMs = 40_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
