/** `npm run demo`: makes the demo's database on the first run, serves it with its page, and says where. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { PagefoldError } from "../../src/base/errors.ts";
import { failureOf, failureText } from "../cli/errors.ts";
import { watchSignals } from "../cli/signals.ts";
import { prepareDemo } from "./prepare.ts";
import { ProgressLine } from "./progress-line.ts";
import { serveDemo } from "./serve.ts";

const help = `npm run demo -- [--dir DIR] [--megabytes N] [--host ADDRESS] [--port N]

Makes a SQLite database of a made-up social network in DIR (once; default .pagefold/demo, N about 400, in less than a
minute), puts it into a store as a volume, and serves that together with a page to look at it. What visitors write
stays in DIR; remove DIR to begin anew.
`;

const interruption = watchSignals((line) => process.stderr.write(`pagefold demo: ${line}\n`));

try {
  await run(process.argv.slice(2));
} catch (error) {
  const failure = failureOf(error, interruption.exitCode());
  process.stderr.write(failureText(failure, false));
  process.exitCode = failure.exitCode;
} finally {
  interruption.dispose();
}

async function run(args: string[]): Promise<void> {
  const { help: isHelp, dir, megabytes, host, port } = parse(args);
  if (isHelp === true) {
    process.stdout.write(help);
    return;
  }
  const progress = new ProgressLine();
  const { signal } = interruption;
  const data = await prepareDemo({
    directory: dir,
    bytes: wholeNumber("--megabytes", megabytes, 1, 100_000) * 1e6,
    signal,
    onProgress: progress.show,
  });
  progress.end();
  const here = fileURLToPath(new URL(".", import.meta.url));
  const demo = await serveDemo({
    ...{ data, host, port: wholeNumber("--port", port, 0, 65_535) },
    assets: { script: join(here, "demo-page.js"), browser: join(here, "browser") },
    onError: (error) => process.stderr.write(failureText(failureOf(error, undefined), false)),
  });
  process.stdout.write(`${demo.url}\n`);
  process.stderr.write("Open that address in a browser. Ctrl-C ends the server.\n");
  try {
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
  } finally {
    await demo.close();
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        dir: { type: "string", default: ".pagefold/demo" },
        megabytes: { type: "string", default: "400" },
        host: { type: "string", default: "127.0.0.1" },
        port: { type: "string", default: "8417" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new PagefoldError("invalid", `${(error as Error).message}; see npm run demo -- --help`);
  }
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new PagefoldError(
    "invalid",
    `${name} is ${JSON.stringify(text)}; give a whole number from ${least} to ${most}`,
  );
}
