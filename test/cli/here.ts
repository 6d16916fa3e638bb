/** Runs the command within the test's own process: as fast as what it does, for what needs no process of its own. One at a time. */
import { PassThrough, Readable } from "node:stream";
import { runCommand } from "../../server/cli/command.ts";
import type { CliOptions, CliResult, JsonFailure } from "./cli.ts";

/** stdin always has an end here: one that is left open is for processes. */
export type HereOptions = Omit<CliOptions, "stdin"> & { readonly stdin?: Uint8Array | string };

const streamNames = ["stdin", "stdout", "stderr"] as const;

/** `pagefold ARGS…`, with stdin given, and stdout and stderr caught. */
export async function runHere(
  args: readonly string[],
  { stdin = "", env = {} }: HereOptions = {},
): Promise<CliResult> {
  const written = { stdout: new PassThrough(), stderr: new PassThrough() };
  const streams = {
    ...written,
    stdin: Readable.from([Buffer.from(stdin)].filter(({ length }) => length > 0)),
  };
  const caught = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  const before = {
    stdin: descriptorOf("stdin"),
    stdout: descriptorOf("stdout"),
    stderr: descriptorOf("stderr"),
  };
  for (const name of ["stdout", "stderr"] as const)
    written[name].on("data", (chunk: Buffer) => caught[name].push(chunk));
  for (const name of streamNames)
    Object.defineProperty(process, name, { configurable: true, get: () => streams[name] });
  const restoreEnvironment = withEnvironment(env);
  try {
    const code = await runCommand(args);
    // What was written is handed over in the next turns.
    for (const stream of Object.values(written)) {
      stream.end();
      if (!stream.readableEnded) await new Promise((resolve) => stream.once("end", resolve));
    }
    const bytes = Buffer.concat(caught.stdout);
    const stderr = Buffer.concat(caught.stderr).toString("utf8");
    return { code, signal: null, bytes, stdout: bytes.toString("utf8"), stderr };
  } finally {
    for (const name of streamNames) Object.defineProperty(process, name, before[name]);
    restoreEnvironment();
  }
}

/** Sets variables, and takes away the one that a test's own environment may name a store by; answers how to have them back. */
function withEnvironment(env: Readonly<Record<string, string>>): () => void {
  const names = ["PAGEFOLD_STORE", ...Object.keys(env)];
  const before = names.map((name) => [name, process.env[name]] as const);
  delete process.env.PAGEFOLD_STORE;
  Object.assign(process.env, env);
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
}

export async function jsonHere<T = Record<string, unknown>>(
  args: readonly string[],
  options: HereOptions = {},
): Promise<T> {
  const { code, stdout, stderr } = await runHere([...args, "--json"], options);
  if (code !== 0) throw new Error(`pagefold ${args.join(" ")} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

export async function failHere(args: readonly string[], options: HereOptions = {}): Promise<JsonFailure> {
  const { code, stdout, stderr } = await runHere([...args, "--json"], options);
  if (code === 0) throw new Error(`pagefold ${args.join(" ")} succeeded: ${stdout}`);
  const { error } = JSON.parse(stderr.trim().split("\n").at(-1) ?? "") as {
    error: Omit<JsonFailure, "exit">;
  };
  return { ...error, exit: code };
}

function descriptorOf(name: (typeof streamNames)[number]): PropertyDescriptor {
  const found = Object.getOwnPropertyDescriptor(process, name);
  if (found === undefined) throw new Error(`process.${name} is not a property of its own here`);
  return found;
}
