/** The engine of a session in a browser: a PageStore over the store that it is given, with local state in the browser's storage, or in memory. */
import { openBrowserStorage } from "../../src/browser/storage.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { EngineOptions, EngineParts, EngineRequest } from "../session/engine.ts";

export async function openBrowserEngine(
  request: EngineRequest,
  options: EngineOptions,
): Promise<EngineParts> {
  const { remote, recorder } = options;
  const { local, settings } = request;
  const more = settings === undefined ? {} : { settings };
  if (local === undefined)
    return { store: await PageStore.open({ remote, recorder, ...more }), storage: "memory" };
  const { path: name, kind = "auto" } = local;
  const { files, kind: storage, release } = await openBrowserStorage({ name, kind });
  // The store calls `release`, also where it cannot be opened.
  return { store: await PageStore.open({ remote, recorder, local: { files, release }, ...more }), storage };
}
