/** Bytes that arrive in pieces become page writes of a good size. */
import type { Transaction } from "../volume/transaction.ts";

/** Writes `bytes`, whole or streamed, from `offset` on. */
export async function bufferedWrites(
  transaction: Transaction,
  offset: number,
  bytes: Uint8Array | AsyncIterable<Uint8Array>,
  options: { readonly signal?: AbortSignal },
): Promise<void> {
  const { pageSize } = transaction.snapshot;
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  if (bytes instanceof Uint8Array) return transaction.write(offset, bytes, signal);
  // Small pieces are gathered, so that a page is not read and staged once per piece.
  const buffer = new Uint8Array(Math.max(65_536, pageSize));
  let at = offset;
  let filled = 0;
  for await (const piece of bytes) {
    for (let taken = 0; taken < piece.length; ) {
      // Flush at page boundaries, so that only the first and the last page are written in part.
      const room = buffer.length - (at % pageSize) - filled;
      const part = Math.min(room, piece.length - taken);
      buffer.set(piece.subarray(taken, taken + part), filled);
      filled += part;
      taken += part;
      if (part < room) continue;
      await transaction.write(at, buffer.subarray(0, filled), signal);
      at += filled;
      filled = 0;
    }
  }
  if (filled > 0) await transaction.write(at, buffer.subarray(0, filled), signal);
}
