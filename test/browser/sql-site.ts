/**
 * The server's side of the SQL cases: a site whose spaces named `imported-…` hold a database that this process imported, and whose pages say
 * by themselves what is to become of their requests (`SqlSpace.rule`).
 */
import { setTimeout as sleep } from "node:timers/promises";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { MemoryObjectStore, type ObjectStore, PageStore } from "../../src/index.ts";
import { WORDS_SQL } from "./pages/sql-run.ts";
import type { Intervention, ObjectRequest, Site } from "./site.ts";

/** What pages with SQL need besides their own module. */
export const sqlScripts = { "sql-worker-browser": "vfs/worker/browser-worker.ts" };

/** Makes the site what the SQL cases need. Once per site. */
export async function serveSqlCases(site: Site): Promise<void> {
  const imported = await importedWords();
  const rules = new Map<string, Rule>();
  const filled = new Set<string>();
  site.intervene = async (request) => {
    const { space, key } = request;
    if (space.startsWith("imported-") && !filled.has(space)) {
      filled.add(space);
      await copyObjects(imported, site.objects(space));
    }
    if (request.method === "PUT" && key.startsWith("rules/")) {
      rules.get(space)?.end();
      rules.delete(space);
      const text = key.slice("rules/".length);
      if (text !== "none") rules.set(space, new Rule(text));
      return 204;
    }
    return rules.get(space)?.apply(request);
  };
}

class Rule {
  readonly #method: string;
  readonly #what: string;
  #left: number;
  #seen = 0;
  readonly #ended: Promise<void>;
  end: () => void = () => {};

  constructor(text: string) {
    const match = /^(gets|puts)-(\w+)-after-(\d+)$/.exec(text);
    if (match === null) throw new Error(`no such rule: ${text}`);
    this.#method = match[1] === "gets" ? "GET" : "PUT";
    this.#what = match[2] ?? "";
    this.#left = Number(match[3]);
    this.#ended = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  async apply({ method, listing }: ObjectRequest): Promise<Intervention> {
    if (method !== this.#method || listing) return undefined;
    if (this.#left-- > 0) return undefined;
    switch (this.#what) {
      case "drop":
        return this.#seen++ % 3 < 2 ? "drop" : undefined;
      case "hold":
        await this.#ended;
        return undefined;
      case "slow":
        await sleep(5);
        return undefined;
      default:
        return Number(this.#what);
    }
  }
}

let importing: Promise<ObjectStore> | undefined;

function importedWords(): Promise<ObjectStore> {
  importing ??= importWords();
  return importing;
}

async function importWords(): Promise<ObjectStore> {
  const bytes = await databaseBytes(WORDS_SQL);
  const remote = new MemoryObjectStore();
  const store = await PageStore.open({ remote });
  const volume = await store.createVolume({ tag: "words" });
  await volume.import({
    name: "words",
    size: bytes.length,
    check: async () => {},
    read: async (offset, into) => {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
  });
  await store.close();
  return remote;
}

/** The file that SQLite makes of `sql`. */
async function databaseBytes(sql: string): Promise<Uint8Array> {
  const sqlite3 = await sqlite3InitModule();
  const db = new sqlite3.oo1.DB(":memory:", "c");
  try {
    db.exec(sql);
    return sqlite3.capi.sqlite3_js_db_export(db.pointer ?? 0);
  } finally {
    db.close();
  }
}

/** What plain SQLite answers to `sql` on the database in the volume that `tag` names: by a whole copy of the newest state. */
export async function queryWithPlainSqlite(
  remote: ObjectStore,
  tag: string,
  sql: string,
): Promise<unknown[][]> {
  const store = await PageStore.open({ remote });
  const volume = await store.volume(tag);
  const bytes = await volume.read(0, volume.snapshot().byteLength);
  await store.close();
  const sqlite3 = await sqlite3InitModule();
  const { capi, wasm } = sqlite3;
  const db = new sqlite3.oo1.DB(":memory:", "c");
  try {
    const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_RESIZEABLE;
    const memory = wasm.allocFromTypedArray(bytes);
    db.checkRc(capi.sqlite3_deserialize(db.pointer ?? 0, "main", memory, bytes.length, bytes.length, flags));
    return db.exec({ sql, rowMode: "array", returnValue: "resultRows" });
  } finally {
    db.close();
  }
}

async function copyObjects(from: ObjectStore, to: ObjectStore): Promise<void> {
  for (const { key } of await from.list("")) {
    const bytes = await from.get(key);
    if (bytes !== undefined) await to.put(key, bytes);
  }
}
