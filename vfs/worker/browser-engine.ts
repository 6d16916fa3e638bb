/** The engine of a session in a browser: a PageStore over the store that it is given, with local state in memory. */
import { PagefoldError } from "../../src/base/errors.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { EngineOptions, EngineParts, EngineRequest } from "../session/engine.ts";

export async function openBrowserEngine(
  request: EngineRequest,
  options: EngineOptions,
): Promise<EngineParts> {
  const { remote, recorder } = options;
  if (request.local !== undefined) {
    throw new PagefoldError(
      "invalid",
      "a browser has no local directory; leave `local` out to keep pages in memory",
    );
  }
  const { settings } = request;
  return {
    store: await PageStore.open({ remote, recorder, ...(settings === undefined ? {} : { settings }) }),
  };
}
