/**
 * `openDatabase`: a database by the address of its store, with local state that outlives the page and is shared by the tabs of the site. What only
 * reads starts with the least: no local state, no other tabs, and none of the code for them.
 */
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { loadPart } from "../../src/base/load-part.ts";
import { type HttpAuth, HttpObjectStore, openHttpStore } from "../../src/remote/http/http-object-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { type Connected, type ConnectOptions, connect } from "../connect.ts";
import { browserPlatform } from "../worker/browser-launch.ts";
import { storageNameFor } from "./storage-name.ts";
import { WebDatabase } from "./web-database.ts";

export type StorageKind = "auto" | "opfs" | "indexeddb" | "memory";

export interface OpenDatabaseOptions extends Omit<ConnectOptions, "local" | "time"> {
  /** Of a Pagefold server, or of a store's directory on a static host; relative to the page. */
  readonly url: string;
  /** A tag, or the id of a volume. */
  readonly tag: string;
  /** A bearer token, or how to get one. */
  readonly auth?: HttpAuth;
  /** What is at the address. Default "auto": it is asked. */
  readonly kind?: "auto" | "server" | "static";
  /** An object store of your own that reads from there; it stays open. */
  readonly store?: ObjectStore;
  /** Show the state of an LSN, or as of a time, for ever, rather than the newest. */
  readonly at?: number | Date;
  /**
   * Where pages and local commits are kept. "auto": OPFS where there is one, else IndexedDB, else memory. Default "auto" under a name made of address and
   * tag; "memory" for what is opened to read only, or at one state.
   */
  readonly storage?: StorageKind | { readonly name: string; readonly kind?: StorageKind };
  /**
   * Share the local state with other tabs of this site: one has it open, and runs SQL for the others. Default true, except for memory. Without it, another
   * tab that opens the same is `busy`.
   */
  readonly tabs?: boolean;
  /** Follow the remote log, so that what others push is seen here by itself. Default false: `pull` moves on. */
  readonly live?: boolean;
  /** Ask the browser to keep this site's storage. Default false. */
  readonly persist?: boolean;
  /** Told how far a hydration or verification is. */
  readonly onProgress?: (progress: {
    readonly what: string;
    readonly done: number;
    readonly total: number;
  }) => void;
}

/**
 * Opens the database in the volume that `tag` stands for.
 * @throws `not_found` (no such volume), `invalid` (it holds no database), `unavailable` (the store cannot be reached and nothing is kept here; or the
 * tab that has the database open does not answer), `unauthorized`, `forbidden`, `busy`, `quota`
 */
export async function openDatabase(options: OpenDatabaseOptions): Promise<WebDatabase> {
  const { tag, live = false, persist = false, onProgress } = options;
  const url = absoluteUrl(options.url);
  const place = placeOf(options, url, tag);
  const connected =
    place === undefined ? await openHere(url, options) : await openInPlace(url, options, place);
  const database = new WebDatabase(connected, { live });
  if (onProgress !== undefined) database.on("progress", onProgress);
  // Whatever the browser answers, the database works; `persistStorage` tells.
  if (persist) database.persistStorage().catch(() => {});
  return database;
}

interface Place {
  readonly name: string;
  readonly kind: Exclude<StorageKind, "memory">;
  readonly tabs: boolean;
}

/** Undefined for memory. */
function placeOf(options: OpenDatabaseOptions, url: string, tag: string): Place | undefined {
  const { readOnly, lsn, at, tabs } = options;
  const onlyReads = readOnly === true || lsn !== undefined || at !== undefined;
  const { storage = onlyReads ? "memory" : "auto" } = options;
  const { name, kind = "auto" } =
    typeof storage === "string" ? { name: storageNameFor(url, tag), kind: storage } : storage;
  if (kind !== "memory") return { name, kind, tabs: tabs ?? true };
  if (tabs === true) {
    throw new PagefoldError(
      "invalid",
      'tabs share what outlives them, and memory does not; leave `tabs` out, or choose another `storage` than "memory"',
    );
  }
  return undefined;
}

async function openInPlace(url: string, options: OpenDatabaseOptions, place: Place): Promise<Connected> {
  const open = (signal?: AbortSignal): Promise<Connected> =>
    openHere(url, options, place, signal === undefined ? {} : { signal });
  if (!place.tabs) return open(options.signal);
  const { shareWithTabs, tabsCanMeet } = await loadPart(() => import("./tabs/share.ts"));
  if (!(await tabsCanMeet())) return open(options.signal);
  return shareWithTabs({ storage: place.name, name: options.tag, options: connectOptions(options), open });
}

/** In this tab, with a store of its own. */
async function openHere(
  url: string,
  options: OpenDatabaseOptions,
  place?: Place,
  more: { readonly signal?: AbortSignal } = {},
): Promise<Connected> {
  const settings = { ...connectOptions(options), ...more };
  const opening = openStore(url, options, place !== undefined, settings.signal);
  // Its failure is told by `connect`.
  const close = (): Promise<void> => opening.then((store) => store.close()).catch(() => {});
  try {
    const local = place === undefined ? {} : { local: { path: place.name, kind: place.kind } };
    const connected = await connect(browserPlatform, opening, options.tag, { ...settings, ...local });
    return options.store === undefined ? closingAlso(connected, close) : connected;
  } catch (error) {
    if (options.store === undefined) await close();
    throw error;
  }
}

async function openStore(
  url: string,
  options: OpenDatabaseOptions,
  lasting: boolean,
  signal: AbortSignal | undefined,
): Promise<ObjectStore> {
  const { auth, kind = "auto", tag, store } = options;
  if (store !== undefined) return store;
  const access = auth === undefined ? {} : { auth };
  try {
    return await openHttpStore(url, {
      ...access,
      kind,
      name: tag,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    // Offline: what is kept here answers without the store, and pushes when it is back.
    if (!lasting || !isPagefoldError(error, "unavailable")) throw error;
    return new HttpObjectStore(url, { ...access, kind: "server" });
  }
}

function closingAlso(connected: Connected, close: () => Promise<void>): Connected {
  return {
    ...connected,
    close: async () => {
      try {
        await connected.close();
      } finally {
        await close();
      }
    },
  };
}

function connectOptions(options: OpenDatabaseOptions): ConnectOptions {
  const { url, tag, auth, kind, store, at, storage, tabs, live, persist, onProgress, ...rest } = options;
  if (at === undefined) return rest;
  if (rest.lsn !== undefined)
    throw new PagefoldError("invalid", "`lsn` and `at` name two states; give one of them");
  return { ...rest, ...(typeof at === "number" ? { lsn: at } : { time: at.getTime() }) };
}

function absoluteUrl(url: string): string {
  const { location } = globalThis as { readonly location?: { readonly href: string } };
  try {
    return new URL(url, location?.href).href;
  } catch (cause) {
    throw new PagefoldError(
      "invalid",
      `${url} is no address of a store; give one like https://data.example.org/store`,
      { cause },
    );
  }
}
