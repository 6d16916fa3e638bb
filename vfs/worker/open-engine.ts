/** The engine of a session in Node: a PageStore over the store that it is given, with local files where a directory is named. */
import { exportFile, openStore } from "../../src/node/index.ts";
import type { EngineOptions, EngineParts, EngineRequest } from "../session/engine.ts";

export async function openEngine(request: EngineRequest, options: EngineOptions): Promise<EngineParts> {
  const { remote, recorder } = options;
  const { local, settings } = request;
  const store = await openStore(remote, {
    // Faults are decoded on this thread, which waits for them anyway.
    workers: 0,
    recorder,
    ...(local === undefined ? {} : { local: local.path }),
    ...(settings === undefined ? {} : { settings }),
  });
  return {
    store,
    exportTo: async (volume, path, signal) => {
      const { bytes } = await exportFile(volume, path, signal === undefined ? {} : { signal });
      return { bytes };
    },
  };
}
