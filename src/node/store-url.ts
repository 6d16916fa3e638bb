/** Opens the store that a URL names: a directory, `file:`, `s3://bucket/prefix`, `https:` or `memory:`. */
import { fileURLToPath } from "node:url";
import { PagefoldError } from "../base/errors.ts";
import type { Recorder } from "../base/recorder.ts";
import type { HttpAuth } from "../remote/http/http-object-store.ts";
import { MemoryObjectStore } from "../remote/memory-store.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import { withMetrics } from "../remote/with-metrics.ts";
import { FsObjectStore } from "./fs-object-store.ts";

export interface OpenStoreOptions {
  /** S3 only: where a server other than AWS is. */
  readonly endpoint?: string;
  /** S3 only. */
  readonly region?: string;
  /** `http:` and `https:` only: a token, or where to get one. */
  readonly auth?: HttpAuth;
  /** `http:` and `https:` only: a tag or id that will be opened next; then that costs no request more than asking what the host is. */
  readonly name?: string;
  /** A directory that is missing is created; otherwise it is `not_found`. */
  readonly create?: boolean;
  /** Where requests are counted (`withMetrics`). */
  readonly recorder?: Recorder;
}

const FORMS = "a directory, file:///path, s3://bucket/prefix, https://host/path or memory:";

/**
 * Throws `invalid` for a URL of no known form, and what opening the backend throws. An S3 bucket is not asked before the first
 * call.
 */
export async function openObjectStore(url: string, options: OpenStoreOptions = {}): Promise<ObjectStore> {
  const store = await openBackend(url, options);
  return options.recorder === undefined ? store : withMetrics(store, options.recorder);
}

async function openBackend(url: string, options: OpenStoreOptions): Promise<ObjectStore> {
  if (url.trim() === "") throw new PagefoldError("invalid", `no store is named; give ${FORMS}`);
  // One letter and a colon is a drive of Windows, not a scheme.
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(url)?.[1]?.toLowerCase();
  if (scheme !== "s3" && (options.endpoint !== undefined || options.region !== undefined)) {
    throw new PagefoldError(
      "invalid",
      `an endpoint or a region belongs to s3://bucket/prefix; ${shown(url)} takes none`,
    );
  }
  switch (scheme) {
    case undefined:
      return FsObjectStore.open(url, fsOptions(options));
    case "file":
      return FsObjectStore.open(filePath(url), fsOptions(options));
    case "memory":
      if (url.length > "memory:".length)
        throw new PagefoldError("invalid", `write "memory:" alone; it has no name`);
      return new MemoryObjectStore();
    case "s3":
      return openS3(url, options);
    case "http":
    case "https":
      return openHttp(url, options);
    default:
      throw new PagefoldError(
        "invalid",
        `${shown(url)}: "${scheme}:" is no kind of store known here; give ${FORMS}`,
      );
  }
}

function fsOptions(options: OpenStoreOptions): { create?: boolean } {
  return options.create === undefined ? {} : { create: options.create };
}

function filePath(url: string): string {
  // Not an absolute path: a URL would silently make it one below the root.
  const rest = url.slice("file:".length);
  if (!rest.startsWith("/") && !rest.startsWith("\\")) {
    throw new PagefoldError(
      "invalid",
      `${shown(url)} is a relative path behind "file:"; write ${JSON.stringify(rest === "" ? "." : rest)} alone, or file:///path`,
    );
  }
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new PagefoldError(
      "invalid",
      `${shown(url)} names no directory of this machine; write file:///path`,
      {
        cause: error,
      },
    );
  }
}

async function openHttp(url: string, { auth, name }: OpenStoreOptions): Promise<ObjectStore> {
  // Loaded here, so that nobody waits for undici who does not use it.
  const [{ nodeFetch }, { openHttpStore }] = await Promise.all([
    import("./http-fetch.ts"),
    import("../remote/http/http-object-store.ts"),
  ]);
  return openHttpStore(url, {
    fetch: nodeFetch,
    streamBodies: true,
    // What is cut out of a compressed answer is no range of the object.
    headers: { "accept-encoding": "identity" },
    ...(auth === undefined ? {} : { auth }),
    ...(name === undefined ? {} : { name }),
  });
}

async function openS3(url: string, options: OpenStoreOptions): Promise<ObjectStore> {
  const form = /^s3:\/\/([^/?#@:]+)(?:\/([^?#]*))?$/i.exec(url);
  const bucket = form?.[1];
  if (bucket === undefined || !/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket)) {
    throw new PagefoldError(
      "invalid",
      `${shown(url)} is no S3 location; write s3://bucket/prefix, the endpoint apart, and credentials in the environment only`,
    );
  }
  const prefix = (form?.[2] ?? "").replace(/\/+$/, "");
  const { endpoint, region } = options;
  if (endpoint !== undefined) checkEndpoint(endpoint);
  // Loaded here, so that nobody waits for the AWS SDK who does not use it.
  const { S3ObjectStore } = await import("./s3.ts");
  return new S3ObjectStore({
    bucket,
    ...(prefix === "" ? {} : { prefix }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
  });
}

function checkEndpoint(endpoint: string): void {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "")
    return;
  throw new PagefoldError(
    "invalid",
    `the endpoint ${shown(endpoint)} is no plain http or https address; write for example http://127.0.0.1:9000`,
  );
}

/** A URL for a message, without what might be a password in it. */
function shown(url: string): string {
  return JSON.stringify(url.replace(/\/\/[^/@]*@/, "//…@"));
}
