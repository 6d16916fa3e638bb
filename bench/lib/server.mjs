/** `pagefold serve` as a process of its own. */
import { spawn } from "node:child_process";
import { cli } from "./setup.mjs";

/** Answers once it serves. */
export function startServer(store, more = []) {
  const child = spawn(
    process.execPath,
    [cli, "serve", "--store", store, "--port", "0", "--open", "--json", ...more],
    {
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  return new Promise((done, failed) => {
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
      const line = said.split("\n").find((each) => each.includes('"url"'));
      if (line !== undefined)
        done({ url: JSON.parse(line).url.replace(/\/$/, ""), pid: child.pid, stop: () => child.kill() });
    });
    child.on("exit", (code) => failed(new Error(`pagefold serve ended with ${code}`)));
  });
}
