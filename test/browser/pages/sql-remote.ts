/** Databases of a page that the test's process drives step by step, for cases in which the page does not live to the end. */

import { HttpObjectStore } from "../../../src/remote/http/http-object-store.ts";
import { Database } from "../../../vfs/browser.ts";
import type { DatabaseOptions, DatabaseStatus } from "../../../vfs/database.ts";
import type { SqlRow } from "../../../vfs/executor.ts";
import { failure } from "./checks.ts";
import { ENDLESS, SqlSpace, sleep } from "./sql-run.ts";

const databases = new Map<string, Database>();

function databaseOf(space: string): Database {
  const found = databases.get(space);
  if (found === undefined) throw new Error(`no database of ${space} is open in this page`);
  return found;
}

export interface OpenArguments {
  readonly space: string;
  readonly tag?: string;
  readonly options?: DatabaseOptions;
  /** A store that says no address for plain requests. */
  readonly noAddress?: boolean;
}

/** Opens the database that the other functions then use by its space. */
export async function open({
  space,
  tag = "main",
  options = {},
  noAddress = false,
}: OpenArguments): Promise<DatabaseStatus> {
  const url = `${location.origin}/objects/${space}/`;
  // With a token that has to be fetched, there is no address for requests that cannot wait.
  const store = noAddress
    ? new HttpObjectStore(url, { kind: "server", auth: async () => "token" })
    : new SqlSpace(url);
  const database = await Database.open(store, tag, { create: true, ...options });
  databases.set(space, database);
  return database.status();
}

export async function query({ space, sql }: { space: string; sql: string }): Promise<SqlRow[]> {
  return databaseOf(space).query(sql);
}

export async function push({ space }: { space: string }): Promise<number> {
  return (await databaseOf(space).push()).lsn;
}

export async function pull({ space }: { space: string }): Promise<number> {
  return (await databaseOf(space).pull()).lsn;
}

/** Adds one to `counter` and pushes that, `times` times, against whoever else does; answers how often another was first. */
export async function count({ space, times }: { space: string; times: number }): Promise<number> {
  const increment = "UPDATE counter SET n = n + 1";
  let replays = 0;
  for (let i = 0; i < times; i++) {
    await databaseOf(space).exec(increment);
    const pushed = await databaseOf(space).push({
      onDiverged: async (tx) => {
        await tx.exec(increment);
      },
    });
    replays += pushed.replays;
  }
  return replays;
}

export async function close({ space }: { space: string }): Promise<void> {
  await databaseOf(space).close();
}

/** Leaves a transaction open that has written; never ends by itself. */
export async function writeAndWait({ space, sql }: { space: string; sql: string }): Promise<void> {
  await databaseOf(space).transaction(async (tx) => {
    await tx.exec(sql);
    document.title = "waiting";
    await new Promise(() => {});
  });
}

/** How a query that would never end fails. */
export async function failureOfEndless({
  space,
}: {
  space: string;
}): Promise<{ code: string; message: string }> {
  const { code, message } = await failure(databaseOf(space).query(ENDLESS), "unavailable", "aborted");
  return { code, message };
}

/**
 * How long this page's timers usually have to wait during a query that computes on its own thread: the middle one of some pauses, milliseconds,
 * which a machine that does something else now and then does not lengthen.
 */
export async function usualPause({ space }: { space: string }): Promise<number> {
  const controller = new AbortController();
  const running = failure(databaseOf(space).query(ENDLESS, { signal: controller.signal }), "aborted");
  const pauses: number[] = [];
  for (let last = performance.now(); pauses.length < 21; ) {
    await sleep(5);
    const now = performance.now();
    pauses.push(now - last);
    last = now;
  }
  controller.abort();
  await running;
  return pauses.sort((a, b) => a - b)[10]!;
}
