/** Runs the command within the test's own process: as fast as what it does, for what needs no process of its own. One at a time. */
import { PassThrough } from "node:stream";
import { runCommand } from "../../server/cli/command.ts";
import type { CliResult, JsonFailure } from "./cli.ts";

/** `pagefold ARGS…`, with stdout and stderr caught. */
export async function runHere(args: readonly string[]): Promise<CliResult> {
  const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
  const caught = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  const before = { stdout: descriptorOf("stdout"), stderr: descriptorOf("stderr") };
  for (const name of ["stdout", "stderr"] as const) {
    streams[name].on("data", (chunk: Buffer) => caught[name].push(chunk));
    Object.defineProperty(process, name, { configurable: true, get: () => streams[name] });
  }
  try {
    const code = await runCommand(args);
    // What was written is handed over in the next turns.
    for (const stream of Object.values(streams)) {
      stream.end();
      if (!stream.readableEnded) await new Promise((resolve) => stream.once("end", resolve));
    }
    const bytes = Buffer.concat(caught.stdout);
    const stderr = Buffer.concat(caught.stderr).toString("utf8");
    return { code, signal: null, bytes, stdout: bytes.toString("utf8"), stderr };
  } finally {
    for (const name of ["stdout", "stderr"] as const) Object.defineProperty(process, name, before[name]);
  }
}

export async function jsonHere<T = Record<string, unknown>>(args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await runHere([...args, "--json"]);
  if (code !== 0) throw new Error(`pagefold ${args.join(" ")} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

export async function failHere(args: readonly string[]): Promise<JsonFailure> {
  const { code, stdout, stderr } = await runHere([...args, "--json"]);
  if (code === 0) throw new Error(`pagefold ${args.join(" ")} succeeded: ${stdout}`);
  const { error } = JSON.parse(stderr.trim().split("\n").at(-1) ?? "") as {
    error: Omit<JsonFailure, "exit">;
  };
  return { ...error, exit: code };
}

function descriptorOf(name: "stdout" | "stderr"): PropertyDescriptor {
  const found = Object.getOwnPropertyDescriptor(process, name);
  if (found === undefined) throw new Error(`process.${name} is not a property of its own here`);
  return found;
}
