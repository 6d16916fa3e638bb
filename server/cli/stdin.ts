/** stdin as a stream of bytes that ends with an error when the signal fires, so that Ctrl-C never waits for a silent pipe. */
import { addAbortSignal } from "node:stream";

export function stdinChunks(signal: AbortSignal): AsyncIterable<Uint8Array> {
  return addAbortSignal(signal, process.stdin);
}
