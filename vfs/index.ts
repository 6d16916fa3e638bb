/** `pagefold/vfs` in Node: SQL on the database in a volume. */
import type { DatabaseStore } from "./connect.ts";
import { type DatabaseOptions, Database as PlatformDatabase } from "./database.ts";
import { nodePlatform } from "./worker/node-launch.ts";

export * from "./exports.ts";

export type Database = PlatformDatabase;

export const Database = {
  /**
   * Opens the database in the volume that `name` (a tag or an id) stands for. With `local`, a volume that is known there opens without
   * any request and where it stands; `pull` moves on.
   * @throws `not_found` (no such volume), `invalid` (it holds no database), `unavailable`, `busy` (the local directory is in use)
   */
  open(store: DatabaseStore, name: string, options: DatabaseOptions = {}): Promise<Database> {
    return PlatformDatabase.openOn(nodePlatform, store, name, options);
  },
};
