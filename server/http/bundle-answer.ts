/** Answers that are bundles: entries as they are made, then the end; what fails on the way is told within, as the status has gone out long ago. */
import { concat } from "../../src/remote/body.ts";
import {
  BUNDLE_TYPE,
  type BundleEntry,
  bundleEnd,
  bundleStart,
  encodeBundleEntry,
} from "../../src/remote/http/bundle-codec.ts";
import type { ServerContext } from "./context.ts";
import { problemOf, toPagefoldError } from "./problem.ts";
import { bodyOfParts } from "./stream.ts";

const HEADERS = { "content-type": BUNDLE_TYPE, "cache-control": "no-store" };
/** Small entries are sent together. */
const CHUNK_BYTES = 65_536;

export type BundleEntries = AsyncIterable<BundleEntry> | Iterable<BundleEntry>;

/** A streamed bundle. What `entries` throws before its first entry is thrown here: then there is still a status to say it with. */
export async function bundleAnswer(context: ServerContext, entries: BundleEntries): Promise<Response> {
  const source = iterate(entries);
  const first = await source.next();
  return new Response(bodyOfParts(pieces(context, first, source)), { headers: HEADERS });
}

/** A bundle that is at hand. */
export function wholeBundle(bytes: Uint8Array<ArrayBuffer>): Response {
  return new Response(bytes, { headers: { ...HEADERS, "content-length": String(bytes.length) } });
}

async function* iterate(entries: BundleEntries): AsyncGenerator<BundleEntry, void, undefined> {
  yield* entries;
}

async function* pieces(
  { recorder }: ServerContext,
  first: IteratorResult<BundleEntry, void>,
  source: AsyncGenerator<BundleEntry, void, undefined>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let waiting: Uint8Array[] = [bundleStart()];
  let size = 4;
  let count = 0;
  const take = (entry: BundleEntry): void => {
    for (const piece of encodeBundleEntry(entry)) {
      waiting.push(piece);
      size += piece.length;
    }
    count++;
  };
  try {
    for (let next = first; next.done !== true; next = await source.next()) {
      take(next.value);
      if (size < CHUNK_BYTES) continue;
      yield* together(waiting);
      waiting = [];
      size = 0;
    }
  } catch (error) {
    recorder.count("server.bundle.failed");
    take({ kind: "failure", problem: problemOf(toPagefoldError(error)) });
  } finally {
    await source.return();
  }
  waiting.push(bundleEnd(count));
  yield* together(waiting);
}

/** Neighbours that are small as one piece; a large one as it is. */
function* together(parts: readonly Uint8Array[]): Generator<Uint8Array, void, undefined> {
  let small: Uint8Array[] = [];
  let size = 0;
  for (const part of parts) {
    if (part.length >= CHUNK_BYTES) {
      if (size > 0) yield concat(small, size);
      small = [];
      size = 0;
      yield part;
    } else {
      small.push(part);
      size += part.length;
    }
  }
  if (size > 0) yield concat(small, size);
}
