/**
 * Reading part of an object by HTTP, from servers as they are: some ignore `Range` and answer 200 with everything, some answer another range
 * than was asked for, some compress what they cut. What comes out is exactly the bytes asked for, or an error.
 */
import { type ErrorDetails, PagefoldError } from "../../base/errors.ts";
import type { ByteRange } from "../object-store.ts";
import { chunksOf, dropBody, type HttpResponse } from "./http-fetch.ts";

/** `Range` of a request; HTTP has none of zero bytes. */
export function rangeHeader({ offset, length }: ByteRange): string {
  return `bytes=${offset}-${Math.min(offset + length - 1, Number.MAX_SAFE_INTEGER)}`;
}

/** The bytes of a 206, checked against what it says of itself. @throws `unavailable` where it is another range */
export async function partialBytes(
  response: HttpResponse,
  range: ByteRange,
  what: string,
  details: ErrorDetails,
): Promise<Uint8Array> {
  const told = response.headers.get("content-range");
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(told ?? "");
  const first = Number(match?.[1] ?? range.offset);
  const last = Number(match?.[2] ?? Number.NaN);
  // A cache on the way may cut otherwise, a host may hide the header from a page of another origin (CORS): then the length must do.
  const wanted = range.offset + range.length;
  if (match !== null && (first !== range.offset || last >= wanted || endsEarly(match[3], last, wanted))) {
    await dropBody(response);
    throw otherRange(what, range, `Content-Range: ${told}`, details);
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  const expected = match === null ? bytes.length : last - first + 1;
  if (bytes.length !== expected || bytes.length > range.length)
    throw otherRange(what, range, `${bytes.length} bytes, ${told ?? "no Content-Range"}`, details);
  return bytes;
}

/** Fewer bytes are right at the object's end only. */
function endsEarly(total: string | undefined, last: number, wanted: number): boolean {
  return last + 1 < wanted && total !== "*" && last + 1 !== Number(total);
}

/** The part of a whole answer (a 200 where a 206 was asked for); what follows it is not transferred. */
export async function partOfWhole(response: HttpResponse, range: ByteRange): Promise<Uint8Array> {
  const end = range.offset + range.length;
  const pieces: Uint8Array[] = [];
  let at = 0;
  for await (const chunk of chunksOf(response.body)) {
    const from = Math.max(0, range.offset - at);
    const to = Math.min(chunk.length, end - at);
    if (to > from) pieces.push(chunk.slice(from, to));
    at += chunk.length;
    if (at >= end) break;
  }
  const [only] = pieces;
  if (pieces.length === 1 && only !== undefined) return only;
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let filled = 0;
  for (const piece of pieces) {
    bytes.set(piece, filled);
    filled += piece.length;
  }
  return bytes;
}

function otherRange(what: string, range: ByteRange, got: string, details: ErrorDetails): PagefoldError {
  return new PagefoldError(
    "unavailable",
    `${what}: asked for ${range.length} bytes at ${range.offset}, got ${got}; try again, or have the host serve ranges as they are asked for`,
    { details: { ...details, otherRange: true } },
  );
}
