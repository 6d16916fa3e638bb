/** A whole bundle of a response, as a `Bundle`. One that is cut off is worth what came of it: the rest is asked for singly. */
import { type ErrorDetails, isPagefoldError } from "../../base/errors.ts";
import type { Bundle, StoredBytes, StoredListing } from "../object-store.ts";
import { decodeBundle } from "./bundle-codec.ts";
import { errorOfProblem } from "./http-errors.ts";
import { chunksOf, type HttpResponse } from "./http-fetch.ts";

/** More than any opening needs; a larger answer is not taken into memory. */
const MAX_BUNDLE_BYTES = 64 * 2 ** 20;

export async function readBundle(
  response: HttpResponse,
  what: string,
  details: ErrorDetails,
): Promise<Bundle> {
  const objects: StoredBytes[] = [];
  const absent: string[] = [];
  const listings: StoredListing[] = [];
  let size = 0;
  try {
    for await (const entry of decodeBundle(chunksOf(response.body), { payloadBytes: MAX_BUNDLE_BYTES })) {
      if (entry.kind === "bytes") {
        objects.push(entry);
        size += entry.bytes.length;
      } else if (entry.kind === "absent") absent.push(entry.key);
      else if (entry.kind === "listing") listings.push(entry);
      else if (entry.kind === "failure") throw errorOfProblem(entry.problem, what, details);
      if (size > MAX_BUNDLE_BYTES) break;
    }
  } catch (error) {
    const cutOff = isPagefoldError(error, "unavailable") || !isPagefoldError(error);
    if (!cutOff || objects.length + listings.length === 0) throw error;
  }
  return { objects, absent, listings };
}
