/** Where SQL comes from: files, the command line, stdin. It is read as it runs, so that a long script is never in memory as a whole. */
import { createReadStream } from "node:fs";
import { PagefoldError } from "../../../src/base/errors.ts";
import { usageError } from "../errors.ts";
import { stdinChunks } from "../stdin.ts";
import { type SqlStatement, StatementSplitter } from "./statements.ts";

export interface SourcedStatement extends SqlStatement {
  /** What to call the place that it comes from; absent for the command line. */
  readonly origin?: string;
}

/** The statements of the files in their order (`-` is stdin), then those of `sql` (again `-` is stdin). */
export async function* statementsFrom(
  files: readonly string[],
  sql: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<SourcedStatement, void, undefined> {
  for (const file of files) {
    if (file === "-") yield* statementsIn(stdinChunks(signal), "stdin");
    else yield* statementsOfFile(file, signal);
  }
  if (sql === "-") yield* statementsIn(stdinChunks(signal), "stdin");
  else if (sql !== undefined) yield* splitterOf([sql]);
}

/** @throws `not_found` or `invalid` naming the file */
export async function* statementsOfFile(
  path: string,
  signal: AbortSignal,
): AsyncGenerator<SourcedStatement, void, undefined> {
  yield* statementsIn(fileChunks(path, signal), path);
}

async function* fileChunks(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* createReadStream(path, { signal }) as AsyncIterable<Uint8Array>;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      throw new PagefoldError("not_found", `there is no file ${path} to read SQL from`, {
        cause: error,
        details: { path },
      });
    }
    if (code === "EISDIR") throw usageError(`${path} is a folder; name a file of SQL`);
    if (code === "EACCES" || code === "EPERM") {
      throw new PagefoldError("forbidden", `${path} may not be read`, { cause: error, details: { path } });
    }
    throw error;
  }
}

async function* statementsIn(
  chunks: AsyncIterable<Uint8Array>,
  origin: string,
): AsyncGenerator<SourcedStatement, void, undefined> {
  for await (const statement of splitterOf(textOf(chunks, origin))) yield { ...statement, origin };
}

async function* splitterOf(
  texts: Iterable<string> | AsyncIterable<string>,
): AsyncGenerator<SqlStatement, void, undefined> {
  const splitter = new StatementSplitter();
  for await (const text of texts) yield* splitter.push(text);
  yield* splitter.end();
}

async function* textOf(
  chunks: AsyncIterable<Uint8Array>,
  origin: string,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (chunk?: Uint8Array): string => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (cause) {
      throw new PagefoldError("invalid", `${origin} is not UTF-8 text; SQL is read as UTF-8`, { cause });
    }
  };
  for await (const chunk of chunks) yield decode(chunk);
  yield decode();
}
