/**
 * The IndexedDB database behind one storage, through idb-keyval: values by key, changed by whole transactions. Knows nothing of files.
 *
 * Whoever opens it writes a token of his own under "owner", and every transaction that writes first looks whether it is still there. So a second
 * owner, where no lock keeps one out, takes over rather than mixes in, and data that the browser evicted meanwhile is noticed instead of
 * being written to in part.
 */
import { createStore, promisifyRequest, type UseStore } from "idb-keyval";
import { PagefoldError } from "../base/errors.ts";
import { systemRuntime } from "../base/runtime.ts";
import { toHex } from "../format/bytes.ts";
import { domError, domNameOf } from "./dom-errors.ts";

const PREFIX = "pagefold/";
const STORE = "blocks";
const OWNER = "owner";

/** A value to be put under the key; undefined: to be deleted. */
export type Changes = ReadonlyMap<string, unknown>;

export class IdbDatabase {
  /** For messages. */
  readonly path: string;
  readonly #name: string;
  #store: UseStore;
  readonly #token = toHex(systemRuntime.randomBytes(new Uint8Array(16)));
  #lost: PagefoldError | undefined;

  private constructor(name: string) {
    this.path = pathOf(name);
    this.#name = name;
    this.#store = createStore(PREFIX + name, STORE);
  }

  /** Opens the database of a storage, creating it where there is none, and becomes its owner. */
  static async open(name: string): Promise<IdbDatabase> {
    const database = new IdbDatabase(name);
    try {
      await database.#store("readwrite", (store) => {
        const { db } = store.transaction;
        db.onversionchange = () => database.#lose(db, undefined);
        store.put(database.#token, OWNER);
        return completion(store.transaction);
      });
      return database;
    } catch (e) {
      throw openError(database.path, e);
    }
  }

  /** All keys that begin with `prefix`, and their values, in the order of the keys. */
  async load(prefix: string): Promise<[string, unknown][]> {
    try {
      const [keys, values] = await this.#store("readonly", (store) =>
        Promise.all([
          promisifyRequest(store.getAllKeys(beginningWith(prefix))),
          promisifyRequest(store.getAll(beginningWith(prefix))),
        ]),
      );
      return keys.map((key, i) => [String(key), values[i]]);
    } catch (e) {
      throw domError("read", this.path, e);
    }
  }

  async keys(prefix: string): Promise<string[]> {
    try {
      const keys = await this.#store("readonly", (store) =>
        promisifyRequest(store.getAllKeys(beginningWith(prefix))),
      );
      return keys.map(String);
    } catch (e) {
      throw domError("list", this.path, e);
    }
  }

  /**
   * All of the changes or none. Resolves when they are on stable storage ("strict"), or handed to the system ("relaxed").
   * @throws `quota`; `busy` when somebody else has opened the database since; `unavailable`, for good, when the browser removed it
   */
  async apply(changes: Changes, durability: "strict" | "relaxed"): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    try {
      const db = await this.#connection();
      // Somebody deletes it; as long as it is open here, he and whoever opens it next would wait.
      db.onversionchange = () => this.#lose(db, undefined);
      const transaction = db.transaction(STORE, "readwrite", { durability });
      const store = transaction.objectStore(STORE);
      const owner = store.get(OWNER);
      owner.onsuccess = () => {
        if (owner.result === this.#token) return put(store, changes);
        transaction.abort();
        this.#lose(db, owner.result);
      };
      await completion(transaction);
    } catch (e) {
      throw this.#lost ?? domError("write to", this.path, e);
    }
  }

  /** Opened again where the browser had closed it, as Safari does, with or without telling. idb-keyval opens it, but knows nothing of durability. */
  async #connection(): Promise<IDBDatabase> {
    const connect = () => this.#store("readonly", (store) => store.transaction.db);
    try {
      return await connect();
    } catch (e) {
      if (this.#lost !== undefined || domNameOf(e) !== "InvalidStateError") throw e;
      this.#store = createStore(PREFIX + this.#name, STORE);
      return connect();
    }
  }

  #lose(db: IDBDatabase, owner: unknown): void {
    this.#lost ??= lostError(this.path, owner);
    db.close();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    try {
      await this.#store("readonly", (store) => store.transaction.db.close());
    } catch (e) {
      // Closed already, by the browser or by us.
      if (domNameOf(e) !== "InvalidStateError") throw domError("close", this.path, e);
    }
  }
}

/** Whether there is a database of this storage, as far as this browser tells. */
export async function idbHolds(name: string): Promise<boolean> {
  return (await listIdb()).includes(name);
}

/** The storages that have a database. Empty where the browser does not list databases, or has none for this window. */
export async function listIdb(): Promise<string[]> {
  try {
    const found = await globalThis.indexedDB.databases();
    const names = found.map(({ name }) => name ?? "").filter((name) => name.startsWith(PREFIX));
    return names.map((name) => name.slice(PREFIX.length));
  } catch {
    // Without IndexedDB, and where it is refused, nothing is kept there.
    return [];
  }
}

/** Empties the database first, after which an owner that still has it open writes no more: deleting it waits until he closes it. */
export async function deleteIdb(name: string): Promise<void> {
  const path = pathOf(name);
  try {
    const store = createStore(PREFIX + name, STORE);
    await store("readwrite", (objects) => {
      objects.clear();
      return completion(objects.transaction);
    });
    await store("readonly", (objects) => objects.transaction.db.close());
    await new Promise<void>((resolve, reject) => {
      const request = globalThis.indexedDB.deleteDatabase(PREFIX + name);
      request.onsuccess = () => resolve();
      request.onblocked = () => resolve();
      request.onerror = () => reject(request.error);
    });
  } catch (e) {
    throw domError("delete", path, e);
  }
}

/** As idb-keyval's, but with the reason: where a request fails, the transaction has none yet. */
function completion(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

function put(store: IDBObjectStore, changes: Changes): void {
  for (const [key, value] of changes) {
    if (value === undefined) store.delete(key);
    else store.put(value, key);
  }
}

function beginningWith(prefix: string): IDBKeyRange {
  return IDBKeyRange.bound(prefix, `${prefix}\uffff`);
}

function pathOf(name: string): string {
  return `indexeddb:/${PREFIX}${name}`;
}

/** There may be no IndexedDB at all: a ReferenceError. Some browsers answer private windows with InvalidStateError or UnknownError. */
function openError(path: string, e: unknown): PagefoldError {
  if (!(e instanceof ReferenceError)) return domError("open", path, e);
  return new PagefoldError(
    "unavailable",
    `could not open ${path}: there is no IndexedDB here; keep the data in memory`,
    { cause: e, details: { path }, retryable: false },
  );
}

function lostError(path: string, found: unknown): PagefoldError {
  if (found !== undefined) {
    return new PagefoldError(
      "busy",
      `${path} was opened by another tab or worker, which has taken it over; nothing more is written from here. Close the database, and use the one over there`,
      { details: { path } },
    );
  }
  return new PagefoldError(
    "unavailable",
    `the browser removed ${path}, or the site's data was cleared, while it was open; nothing more is kept from here. Push what is not pushed, then close the database and open it again`,
    { details: { path }, retryable: false },
  );
}
