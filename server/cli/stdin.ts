/** stdin as a stream of bytes that ends with an error when the signal fires, so that Ctrl-C never waits for a silent pipe. */
import { addAbortSignal } from "node:stream";
import { text } from "node:stream/consumers";

export function stdinChunks(signal: AbortSignal): AsyncIterable<Uint8Array> {
  return addAbortSignal(signal, process.stdin);
}

export async function stdinText(signal: AbortSignal): Promise<string> {
  return text(addAbortSignal(signal, process.stdin));
}
