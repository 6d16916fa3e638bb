/** Answers `GET /v1/events`: who wants to hear of what, from where on. */
import { isPagefoldError } from "../../../src/base/errors.ts";
import type { ServerContext } from "../context.ts";
import type { Principal } from "../principal.ts";
import { HttpError } from "../problem.ts";
import { parsePlace } from "./commit-event.ts";
import type { Wanted } from "./hub.ts";

const HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  // Proxies that gather answers before they pass them on are told not to.
  "x-accel-buffering": "no",
};

/** @throws 400 for a query that is none, 404 where none of its volumes may be seen: of several, those that may not are told as gone */
export async function eventsAnswer(
  context: ServerContext,
  principal: Principal,
  request: Request,
): Promise<Response> {
  const places = wantedPlaces(context, request);
  const wanted: Wanted[] = [];
  const gone: string[] = [];
  let refusal: unknown;
  for (const [name, lsn] of places) {
    try {
      // Without the signal of the request: with some adapters it takes as much memory as all the rest of a stream.
      const volume = await context.access.resolve(principal, "read", name);
      wanted.push({ known: await context.logs.volume(volume), after: lsn });
    } catch (error) {
      if (!isPagefoldError(error, "not_found")) throw error;
      refusal = error;
      gone.push(name);
    }
  }
  if (wanted.length === 0) throw refusal;
  const stream = context.events.open(principal, wanted, gone);
  return new Response(stream.body, { headers: HEADERS });
}

/** The volumes of the query, each from where the last stream of this reader was, or from where the query says. */
function wantedPlaces({ settings }: ServerContext, request: Request): Map<string, number | undefined> {
  const texts = new URL(request.url).searchParams.getAll("volume");
  if (texts.length === 0 || texts.length > settings.eventVolumes) {
    throw new HttpError(400, "invalid", `name 1 to ${settings.eventVolumes} volumes: ?volume=V@LSN&volume=…`);
  }
  const last = new Map<string, number>();
  for (const text of (request.headers.get("last-event-id") ?? "").split(",")) {
    const place = parsePlace(text.trim());
    // An id that is none of ours tells nothing: the query does.
    if (place?.lsn !== undefined) last.set(place.name, place.lsn);
  }
  const places = new Map<string, number | undefined>();
  for (const text of texts) {
    const place = parsePlace(text);
    if (place === undefined) {
      throw new HttpError(400, "invalid", `${text.slice(0, 64)} is no volume with its LSN: V@LSN`);
    }
    places.set(place.name, last.get(place.name) ?? place.lsn);
  }
  return places;
}
