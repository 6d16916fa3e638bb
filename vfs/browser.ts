/** `pagefold/vfs` in browsers: SQL on the database in a volume. */
import type { DatabaseStore } from "./connect.ts";
import { type DatabaseOptions, Database as PlatformDatabase } from "./database.ts";
import { browserPlatform } from "./worker/browser-launch.ts";

export * from "./exports.ts";

export type Database = PlatformDatabase;

export const Database = {
  /**
   * Opens the database in the volume that `name` (a tag or an id) stands for.
   * `pull` moves on.
   * @throws `not_found` (no such volume), `invalid` (it holds no database), `unavailable`
   */
  open(store: DatabaseStore, name: string, options: DatabaseOptions = {}): Promise<Database> {
    return PlatformDatabase.openOn(browserPlatform, store, name, options);
  },
};
