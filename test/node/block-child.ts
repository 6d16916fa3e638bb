/**
 * Real processes for the tests of locks and crashes: bundles a TypeScript entry next to this file with esbuild (which vite and tsup bring
 * along) and runs it with the Node that runs the tests.
 */
import { type ChildProcess, spawn } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** A temporary directory that `removeTemporary` removes. */
export function temporary(): string {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "pagefold-child-"));
  made.push(dir);
  return dir;
}

const made: string[] = [];

export function removeTemporary(): void {
  for (const dir of made.splice(0)) fs.rmSync(dir, { recursive: true, force: true });
}

/** Bundles `entry`, a file name beside this one; returns the path of the script. */
export async function bundle(entry: string): Promise<string> {
  const outfile = path.join(temporary(), entry.replace(/\.ts$/, ".mjs"));
  const source = fileURLToPath(new URL(entry, import.meta.url));
  await build({
    entryPoints: [source],
    bundle: true,
    platform: "node",
    format: "esm",
    outfile,
    logLevel: "error",
  });
  return outfile;
}

export interface Child {
  readonly process: ChildProcess;
  readonly pid: number;
  /** What it has printed so far. */
  output(): string;
  /** Resolves when the output contains `text`; rejects when the process ends first. */
  printed(text: string): Promise<void>;
  /** Resolves with the exit code, or the signal's name, when the process is gone and its output read. */
  readonly ended: Promise<number | string>;
}

export function start(script: string, ...args: string[]): Child {
  const process_ = spawn(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  const waiting = new Set<() => void>();
  process_.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    for (const check of waiting) check();
  });
  process_.stderr.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  const ended = new Promise<number | string>((resolve) => {
    process_.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  return {
    process: process_,
    pid: process_.pid ?? 0,
    output: () => text,
    printed: (wanted) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (!text.includes(wanted)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
        void ended.then(() => reject(new Error(`the process ended without printing "${wanted}": ${text}`)));
      }),
    ended,
  };
}
