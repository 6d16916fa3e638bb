/**
 * Streams of answers, on their way to a Node socket. The adapter's own writer prints to the console when a stream breaks off; here the connection
 * is cut, which is what tells a client that something is missing, and the failure is reported.
 */
import type { ServerResponse } from "node:http";

/**
 * Whether an answer's body is a stream. Reading `body` of the adapter's light `Response` would turn it into a real one, which costs more than
 * sending it, so that the body is taken from where the adapter keeps it.
 */
export function isStream(response: Response): boolean {
  const kept = keptBody(response);
  if (kept !== undefined) return kept instanceof ReadableStream;
  return response.body !== null;
}

/** The body that a light `Response` was made with; undefined where it is a real one (or the adapter keeps it elsewhere). */
export function keptBody(response: Response): unknown {
  for (const key of Object.getOwnPropertySymbols(response)) {
    if (key.description !== "cache") continue;
    const kept = (response as unknown as Record<symbol, unknown>)[key];
    return Array.isArray(kept) ? kept[1] : undefined;
  }
  return undefined;
}

/** Sends an answer as fast as the client takes it; resolves when it is through or cut off. */
export async function writeStream(
  response: Response,
  outgoing: ServerResponse,
  onError: (error: unknown) => void,
): Promise<void> {
  const reader = response.body?.getReader();
  const leave = (): void => {
    reader?.cancel().catch(() => {});
  };
  if (outgoing.destroyed) return leave();
  outgoing.once("close", leave);
  try {
    response.headers.forEach((value, name) => {
      outgoing.setHeader(name, value);
    });
    outgoing.writeHead(response.status);
    outgoing.flushHeaders();
    while (reader !== undefined) {
      const { done, value } = await reader.read();
      if (outgoing.destroyed) return;
      if (done) break;
      if (!outgoing.write(value)) await drained(outgoing);
    }
    outgoing.end();
  } catch (error) {
    if (!outgoing.destroyed) onError(error);
    outgoing.destroy();
  } finally {
    if (outgoing.writableEnded) outgoing.off("close", leave);
  }
}

function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      outgoing.off("drain", go);
      outgoing.off("close", go);
      resolve();
    };
    outgoing.once("drain", go);
    outgoing.once("close", go);
  });
}
