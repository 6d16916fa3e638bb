/** The engine of a session in Node: a PageStore over the store that it is given, with local files where a directory is named. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BlockFile } from "../../src/local/block-file.ts";
import { exportFile, FsBlockFileSystem, openStore } from "../../src/node/index.ts";
import type { EngineOptions, EngineParts, EngineRequest } from "../session/engine.ts";

const TEMP_NAME = "temp";

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
  try {
    const { file, remove } = await openTempFile(local?.path);
    return {
      store,
      tempFile: file,
      release: remove,
      exportTo: async (volume, path, signal) => {
        const { bytes } = await exportFile(volume, path, signal === undefined ? {} : { signal });
        return { bytes };
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** In the local directory, which is locked and has room for data; else among the system's temporary files. */
async function openTempFile(
  directory: string | undefined,
): Promise<{ readonly file: BlockFile; readonly remove: () => Promise<void> }> {
  const own = directory === undefined ? await mkdtemp(join(tmpdir(), "pagefold-")) : undefined;
  const files = new FsBlockFileSystem(own ?? directory ?? "");
  const file = await files.open(TEMP_NAME);
  // Where a file that is open can lose its name, a thread or process that dies leaves nothing behind.
  if (process.platform !== "win32")
    await rm(own ?? join(files.name, TEMP_NAME), { recursive: true, force: true });
  return {
    file,
    remove: async () => {
      await file.close();
      await files.remove(TEMP_NAME);
      if (own !== undefined) await rm(own, { recursive: true, force: true });
    },
  };
}
