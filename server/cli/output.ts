/**
 * What a verb says: data on stdout, talk on stderr. A reader that closes stdout early (`| head`) is no failure; a slow one
 * is waited for.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import { toJson } from "./json.ts";

/** What a verb hands back: the same facts as data and as text. */
export interface Result {
  readonly json: unknown;
  /** Without the last newline; nothing is printed when it is empty. */
  readonly text: string;
  /** One line for stderr in human mode, e.g. how much was fetched. */
  readonly talk?: string;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  /** Default: the process's own. */
  readonly stdout?: NodeJS.WritableStream;
  readonly stderr?: NodeJS.WritableStream;
}

export class Output {
  readonly #json: boolean;
  readonly #quiet: boolean;
  readonly #stdout: NodeJS.WritableStream;
  readonly #stderr: NodeJS.WritableStream;
  #readerGone = false;

  constructor(options: OutputOptions) {
    this.#json = options.json;
    this.#quiet = options.quiet;
    this.#stdout = options.stdout ?? process.stdout;
    this.#stderr = options.stderr ?? process.stderr;
    // Failures of stdout reach `bytes` through its callback; a stderr that nobody reads is nothing to fail for.
    this.#stdout.on("error", () => {});
    this.#stderr.on("error", () => {});
  }

  get json(): boolean {
    return this.#json;
  }

  get quiet(): boolean {
    return this.#quiet;
  }

  /** True once the reader of stdout is gone: whoever produces data may stop. */
  get readerGone(): boolean {
    return this.#readerGone;
  }

  async result(result: Result): Promise<void> {
    if (this.#json) await this.text(JSON.stringify(toJson(result.json)));
    else if (result.text !== "") await this.text(result.text);
    if (!this.#json && result.talk !== undefined) this.talk(result.talk);
  }

  /** A line for humans on stderr; nothing under --quiet. */
  talk(line: string): void {
    if (!this.#quiet) this.#stderr.write(`${line}\n`);
  }

  /** A failure, newline included; shown under --quiet too. */
  failure(text: string): void {
    this.#stderr.write(text);
  }

  async text(text: string): Promise<void> {
    await this.raw(`${text}\n`);
  }

  /** Text as it is, without a line end of its own. */
  async raw(text: string): Promise<void> {
    await this.bytes(new TextEncoder().encode(text));
  }

  /** Writes to stdout and waits until the bytes are taken. */
  async bytes(bytes: Uint8Array): Promise<void> {
    if (this.#readerGone || bytes.length === 0) return;
    const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => {
      this.#stdout.write(bytes, resolve);
    });
    if (error === null || error === undefined) return;
    if (error.code !== "EPIPE") throw stdoutError(error);
    this.#readerGone = true;
  }
}

function stdoutError(cause: NodeJS.ErrnoException): PagefoldError {
  return cause.code === "ENOSPC"
    ? new PagefoldError("quota", "no space left where stdout goes; free some and run the command again", {
        cause,
      })
    : new PagefoldError("unavailable", `stdout cannot be written: ${cause.message}`, {
        cause,
        retryable: false,
      });
}

/** Facts as aligned `name  value` lines; undefined values are left out. */
export function facts(record: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(record).filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${String(value)}`).join("\n");
}
