/** Problems that are answered before, or instead of, the routes: straight to the socket. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { PagefoldError } from "../../../src/base/errors.ts";
import { HttpError, PROBLEM_TYPE, problemOf, statusOf } from "../problem.ts";

/** Seconds after which a request that was turned away may come again. */
const BUSY_SECONDS = "1";

/** Turns a request away. */
export function answerProblem(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  error: PagefoldError,
): void {
  // A body that nobody reads would be taken for the next request.
  if (!incoming.complete && incoming.method !== "GET" && incoming.method !== "HEAD")
    outgoing.setHeader("connection", "close");
  writeProblemHead(outgoing, error);
  outgoing.end(incoming.method === "HEAD" ? undefined : JSON.stringify(problemOf(error)));
}

/** The head alone; the body is `problemOf(error)`. */
export function writeProblemHead(outgoing: ServerResponse, error: PagefoldError): void {
  const text = JSON.stringify(problemOf(error));
  outgoing.writeHead(statusOf(error), {
    "content-type": PROBLEM_TYPE,
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
    ...(statusOf(error) === 503 ? { "retry-after": BUSY_SECONDS } : {}),
    ...(error instanceof HttpError ? error.headers : {}),
  });
}
