/**
 * The engine of a session in a browser: a PageStore over the store that it is given, with local state in memory, or in the browser's storage. What
 * only reads loads neither the code for that nor what compresses.
 */
import { loadPart } from "../../src/base/load-part.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import { loadPageCodecs } from "../../src/browser/page-codecs.ts";
import { loadVerbs } from "../../src/store/load-verbs.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { EngineOptions, EngineParts, EngineRequest } from "../session/engine.ts";

export async function openBrowserEngine(
  request: EngineRequest,
  options: EngineOptions,
): Promise<EngineParts> {
  const { remote, recorder } = options;
  const { local, settings, readOnly } = request;
  const codecs = await loadPageCodecs();
  if (readOnly !== true) void loadAhead();
  if (local !== undefined) {
    const { openLocalEngine } = await loadPart(() => import("./browser-local-engine.ts"));
    return openLocalEngine(local, request, options, codecs);
  }
  const more = settings === undefined ? {} : { settings };
  return { store: await PageStore.open({ remote, recorder, ...codecs, ...more }), storage: "memory" };
}

/** Not while the database is being opened. */
const AHEAD_MS = 1000;

/** A page that goes offline shall be able to do there what it can. Nobody waits for this; where it fails, whatever needs the part tells. */
async function loadAhead(): Promise<void> {
  await systemRuntime.sleep(AHEAD_MS);
  const parts = [
    loadVerbs(),
    import("../session/live-queries.ts"),
    import("../session/volume-calls.ts"),
    import("../sqlite/pagefold-pragmas.ts"),
  ];
  await Promise.allSettled(parts);
}
