/** What the tests of the server share: volumes in memory, requests without a socket, pushes taken apart into the objects that they are. */
import { createServer, type PagefoldServer, type ServerOptions } from "../../server/http/server.ts";
import type { Lsn, VolumeId } from "../../src/base/brand.ts";
import { commitKey } from "../../src/format/keys.ts";
import {
  BUNDLE_TYPE,
  type BundleEntry,
  decodeBundle,
  encodeBundle,
} from "../../src/remote/http/bundle-codec.ts";
import { HttpObjectStore } from "../../src/remote/http/http-object-store.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { codecs, openStore, randomBytes, sourceOf } from "../store/support.ts";

export { codecs, openStore, randomBytes, sourceOf };

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  /** The body as JSON; undefined where it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they know it to be
  readonly json: any;
}

export interface Call {
  readonly headers?: Record<string, string>;
  readonly body?: BodyInit | Uint8Array | object;
}

export class Site {
  readonly store: ObjectStore;
  readonly app: PagefoldServer;

  constructor(store: ObjectStore, options: Omit<Partial<ServerOptions>, "store"> = {}) {
    this.store = store;
    const { settings, ...rest } = options;
    // Nothing is polled unless a test wants it.
    this.app = createServer({ ...rest, store, codecs, settings: { pollMs: 0, ...settings } });
  }

  async call(method: string, path: string, { headers = {}, body }: Call = {}): Promise<Answer> {
    const response = await this.app.fetch(request(method, path, headers, body));
    return answerOf(response);
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.call("GET", path, { headers });
  }

  put(key: string, bytes: Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
    return this.call("PUT", `/${key}`, { headers: { "if-none-match": "*", ...headers }, body: bytes });
  }

  /** A client of this server, without a network between. */
  client(headers: Record<string, string> = {}): HttpObjectStore {
    return new HttpObjectStore("http://site", {
      kind: "server",
      headers,
      fetch: (async (url: string, init: RequestInit) =>
        this.app.fetch(new Request(url, { ...init, cache: "default" }))) as never,
    });
  }

  push(volume: string, objects: readonly StoredObject[]): Promise<Answer> {
    const entries: BundleEntry[] = objects.map(({ key, bytes }) => wholeEntry(key, bytes));
    return this.call("POST", `/v1/volumes/${volume}/commits`, {
      headers: { "content-type": BUNDLE_TYPE },
      body: encodeBundle(entries),
    });
  }
}

export function request(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: Call["body"],
): Request {
  const isPlain =
    body !== undefined &&
    Object.getPrototypeOf(body) === Object.prototype &&
    !(body instanceof ReadableStream);
  const sent = isPlain ? JSON.stringify(body) : (body as BodyInit | undefined);
  return new Request(`http://site${path}`, {
    method,
    headers,
    ...(sent === undefined ? {} : { body: sent, duplex: "half" }),
  } as RequestInit);
}

export async function answerOf(response: Response): Promise<Answer> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  const json = isJson && bytes.length > 0 ? JSON.parse(new TextDecoder().decode(bytes)) : undefined;
  return { status: response.status, headers: response.headers, bytes, json };
}

export interface StoredObject {
  readonly key: string;
  readonly bytes: Uint8Array;
}

export function wholeEntry(key: string, bytes: Uint8Array): BundleEntry {
  return { kind: "bytes", key, offset: 0, total: bytes.length, bytes };
}

export async function entriesOf(bytes: Uint8Array): Promise<BundleEntry[]> {
  const entries: BundleEntry[] = [];
  for await (const entry of decodeBundle(once(bytes))) entries.push(entry);
  return entries;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}

/** Everything in a store, by key. */
export async function contentOf(store: ObjectStore): Promise<Map<string, Uint8Array>> {
  const content = new Map<string, Uint8Array>();
  for (let startAfter = ""; ; ) {
    const page = await store.list("", { startAfter });
    for (const { key } of page) content.set(key, (await store.get(key))!);
    if (page.length < 1000) return content;
    startAfter = page.at(-1)!.key;
  }
}

export interface World {
  readonly remote: MemoryObjectStore;
  readonly engine: PageStore;
  readonly volume: Volume;
  readonly id: VolumeId;
}

/** A volume "docs" in memory, with one commit of `bytes` bytes and `commits` small ones on top. */
export async function world(options: { bytes?: number; commits?: number } = {}): Promise<World> {
  const remote = new MemoryObjectStore();
  const engine = await openStore(remote);
  const volume = await engine.createVolume({ tag: "docs" });
  if (options.bytes !== 0) await volume.import(sourceOf(randomBytes(options.bytes ?? 40_000, 1)));
  for (let i = 0; i < (options.commits ?? 3); i++) await change(volume, i);
  return { remote, engine, volume, id: volume.id };
}

/** One small commit, pushed. */
export async function change(volume: Volume, seed: number): Promise<number> {
  await volume.write((seed % 8) * 4096, randomBytes(100, 1000 + seed));
  return (await volume.push()).lsn;
}

/** The objects of the next push of a volume, in the order in which they are sent, and a store that does not have them yet. */
export async function nextPush(
  { remote, volume }: World,
  work: (volume: Volume) => Promise<unknown> = (each) => change(each, 77),
): Promise<{
  readonly before: MemoryObjectStore;
  readonly objects: readonly StoredObject[];
  readonly lsn: Lsn;
}> {
  const before = remote.clone();
  await work(volume);
  const had = await contentOf(before);
  const added = [...(await contentOf(remote))].filter(([key]) => !had.has(key) && !key.endsWith("/head"));
  const order = (key: string): number => (key.includes("/commits/") ? 2 : key.includes("/rollups/") ? 1 : 0);
  const objects = added.map(([key, bytes]) => ({ key, bytes })).sort((a, b) => order(a.key) - order(b.key));
  return { before, objects, lsn: volume.status().lsn };
}

export function commitOf(objects: readonly StoredObject[]): StoredObject {
  return objects.find(({ key }) => key.includes("/commits/"))!;
}

export function keyOfCommit(volume: VolumeId, lsn: number): string {
  return commitKey(volume, lsn as Lsn);
}

/** The same bytes with one changed. */
export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = copy[at]! ^ 0x41;
  return copy;
}
