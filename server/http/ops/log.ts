/**
 * The server's log: one line of JSON per request when it is over, and one for whatever else an operator must know. What could be a secret never
 * reaches it: no header is logged, and of a query only the values of parameters that the protocol knows.
 */
import { type DestinationStream, destination, type Logger, pino } from "pino";
import { isPagefoldError } from "../../../src/base/errors.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

export interface ServerLog {
  readonly logger: Logger;
  /** Writes what is held back; call it before the process ends. */
  flush(): void;
}

/** Lines are gathered up to so many bytes, or so long, whichever is first: a line by itself costs as much as answering a request. */
const GATHERED_BYTES = 12_288;
/** Lines that wait for a reader of stderr that is stuck; further ones are dropped. */
const WAITING_BYTES = 4 * 2 ** 20;
const GATHERED_MS = 250;

/** `target` takes the lines in the place of stderr. */
export function openLog(level: LogLevel, target?: DestinationStream): ServerLog {
  const options = { level, base: null, timestamp: timeField, formatters };
  if (target !== undefined) return { logger: pino(options, target), flush: () => {} };
  const stderr = destination({
    fd: 2,
    sync: false,
    minLength: GATHERED_BYTES,
    maxLength: WAITING_BYTES,
    periodicFlush: GATHERED_MS,
  });
  // A log that nobody can read any more is no reason to stop serving.
  stderr.on("error", () => {});
  return {
    logger: pino(options, stderr),
    flush: () => {
      try {
        stderr.flushSync();
      } catch {
        // The reader of stderr is gone.
      }
    },
  };
}

let lastMs = 0;
let lastField = "";

/** The time of a line; many lines share a millisecond, and writing a date costs as much as the rest of the line. */
function timeField(): string {
  const now = Date.now();
  if (now !== lastMs) {
    lastMs = now;
    lastField = `,"time":"${new Date(now).toISOString()}"`;
  }
  return lastField;
}

const formatters = { level: (label: string) => ({ level: label }) };

/** What one line says of a request. */
export interface RequestLine {
  readonly id: string;
  readonly method: string;
  readonly route: string;
  readonly path: string;
  query?: string;
  readonly status: number;
  readonly ms: number;
  readonly bytes: number;
  principal?: string;
  readonly address: string;
  /** The client left, or was cut off, before the answer was through. */
  cut?: true;
}

/** The parameters of docs/protocol.md; what stands in any other may be a token that someone put into a URL. */
const KNOWN_PARAMETERS: ReadonlySet<string> = new Set(
  "from to prefix after limit confirm headers bodies volume lsn pages tag".split(" "),
);
const MAX_TEXT = 300;

/** A query for the log: known parameters as they are, of others the name only. */
export function redactedQuery(query: string): string | undefined {
  if (query === "") return undefined;
  const shown = query
    .slice(0, MAX_TEXT)
    .split("&")
    .map((part) => {
      const [name = ""] = part.split("=", 1);
      return KNOWN_PARAMETERS.has(name) ? part : `${name.slice(0, 32)}=…`;
    });
  return shown.join("&");
}

/** A path for the log. */
export function shortPath(path: string): string {
  return path.length > MAX_TEXT ? `${path.slice(0, MAX_TEXT)}…` : path;
}

/** An error as the log shows it: code, message and causes; the stack only of what is a bug of ours. */
export function errorFields(error: unknown): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const messages: string[] = [];
  let last: unknown = error;
  for (let e = error, depth = 0; e !== undefined && e !== null && depth < 5; depth++) {
    messages.push(e instanceof Error ? e.message : String(e));
    last = e;
    e = e instanceof Error ? e.cause : undefined;
  }
  fields.error = messages.join(": ");
  if (isPagefoldError(error)) fields.code = error.code;
  if (last instanceof Error && !isPagefoldError(last)) fields.stack = last.stack;
  return fields;
}
