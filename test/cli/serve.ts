/** `pagefold serve` as a process of its own, for tests that talk to it. */
import { once } from "node:events";
import { type CliOptions, type CliResult, type RunningCli, startCli } from "./cli.ts";

export interface ServeProcess {
  readonly url: string;
  readonly port: number;
  readonly cli: RunningCli;
  /** What it has written to stderr so far. */
  stderr(): string;
  /** Ends the server as an operator does. */
  stop(): Promise<CliResult>;
}

const running = new Set<RunningCli>();

/** Starts `pagefold serve ARGS… --json` on a free port and waits until it says where it is. */
export async function serve(args: readonly string[], options: CliOptions = {}): Promise<ServeProcess> {
  const cli = startCli(["serve", "--port", "0", ...args, "--json"], options);
  running.add(cli);
  let stderr = "";
  cli.child.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString("utf8");
  });
  const failed = cli.result.then((result) => Promise.reject(new Error(`it ended: ${result.stderr}`)));
  failed.catch(() => {});
  const [line] = (await Promise.race([once(cli.child.stdout!, "data"), failed])) as [Buffer];
  const { url, port } = JSON.parse(line.toString("utf8")) as { url: string; port: number };
  const stop = async (): Promise<CliResult> => {
    cli.child.kill("SIGTERM");
    return cli.result;
  };
  return { url, port, cli, stderr: () => stderr, stop };
}

/** Ends whatever a test has left running; for `afterEach`. */
export async function endServers(): Promise<void> {
  for (const { child, result } of running) {
    child.kill("SIGKILL");
    await result;
  }
  running.clear();
}
