/** Databases whose SQL worker the test holds, to end it wherever it is. */
import type { DatabaseStore } from "../../vfs/connect.ts";
import { Database, type DatabaseOptions } from "../../vfs/database.ts";
import type { SqlWorker } from "../../vfs/worker/launch.ts";
import { nodePlatform } from "../../vfs/worker/node-launch.ts";

export async function openHeld(
  store: DatabaseStore,
  name: string,
  options: DatabaseOptions,
): Promise<{ readonly database: Database; readonly worker: SqlWorker }> {
  let worker: SqlWorker | undefined;
  const platform = {
    ...nodePlatform,
    launchWorker: (url?: URL) => {
      worker = nodePlatform.launchWorker(url);
      return worker;
    },
  };
  const database = await Database.openOn(platform, store, name, options);
  return { database, worker: worker! };
}
