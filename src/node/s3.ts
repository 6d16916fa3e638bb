/**
 * Objects in a bucket of S3, or of a server that speaks its protocol. The entry of `pagefold/s3`, so that the AWS SDK is loaded
 * only by those who use it. A conditional create is `PutObject` with `If-None-Match: *`; whether a server honours it is not known
 * beforehand (some ignore it), so the store says "unknown" and is probed before the first write.
 */
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { PagefoldError, throwIfAborted } from "../base/errors.ts";
import { type Runtime, systemRuntime } from "../base/runtime.ts";
import { checkConditionalBody, isWhole, SourceFailure } from "../remote/body.ts";
import { checkKey, checkLimit, checkPrefix, checkRange, compareKeys } from "../remote/keys.ts";
import type {
  Body,
  ByteRange,
  GetOptions,
  ListEntry,
  ListOptions,
  ObjectStore,
  PutOptions,
  StoreCapabilities,
} from "../remote/object-store.ts";
import { abortable, collect, isAbsent, makeClient } from "./s3-client.ts";
import { createIfAbsent } from "./s3-create.ts";
import { Deleter } from "./s3-delete.ts";
import { readFailure, s3Error } from "./s3-errors.ts";
import { type Target, uploadStream } from "./s3-upload.ts";

export interface S3ObjectStoreOptions {
  readonly bucket: string;
  /** Everything of the store lies under it; without slashes at its ends. Default: the whole bucket. */
  readonly prefix?: string;
  /** "https://minio.example:9000"; default: AWS, or what the environment says. */
  readonly endpoint?: string;
  /** Default: what the environment says; with an endpoint, else "us-east-1". */
  readonly region?: string;
  /** Default: the SDK's usual sources (environment, profile, instance role …). */
  readonly credentials?: NonNullable<S3ClientConfig["credentials"]>;
  /** The bucket in the path rather than in the host name. Default: true with an endpoint, else false. */
  readonly forcePathStyle?: boolean;
  /** Your own client; then the connection options above are not used, and `close` leaves it open. */
  readonly client?: S3Client;
  readonly runtime?: Runtime;
}

const PAGE_MAX = 1000;

export class S3ObjectStore implements ObjectStore {
  readonly url: string;
  readonly capabilities: StoreCapabilities = { write: true, list: true, conditionalCreate: "unknown" };
  readonly #client: S3Client;
  readonly #ownsClient: boolean;
  readonly #bucket: string;
  /** Empty, or ends with a slash. */
  readonly #prefix: string;
  readonly #runtime: Runtime;
  readonly #deleter: Deleter;
  #closed = false;

  /** No request is made: a missing bucket or missing rights show with the first call. */
  constructor(options: S3ObjectStoreOptions) {
    const prefix = (options.prefix ?? "").replace(/^\/+|\/+$/g, "");
    if (options.bucket === "" || options.bucket.includes("/")) {
      throw new PagefoldError(
        "invalid",
        `${JSON.stringify(options.bucket)} is no bucket name; give the name alone`,
      );
    }
    if (prefix !== "") checkKey(prefix);
    this.#bucket = options.bucket;
    this.#prefix = prefix === "" ? "" : `${prefix}/`;
    this.url = `s3://${options.bucket}${prefix === "" ? "" : `/${prefix}`}`;
    this.#runtime = options.runtime ?? systemRuntime;
    this.#ownsClient = options.client === undefined;
    this.#client = options.client ?? makeClient(options);
    this.#deleter = new Deleter(this.#client, this.#bucket);
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> {
    const objectKey = this.#objectKey(key);
    const { range, signal } = options;
    if (range !== undefined) checkRange(range);
    throwIfAborted(signal, `reading ${key}`);
    try {
      // A range of no bytes cannot be asked for; whether the object is there can.
      if (range?.length === 0)
        return (await this.#size(objectKey, signal)) === undefined ? undefined : new Uint8Array(0);
      return await this.#getBytes(objectKey, range, signal);
    } catch (error) {
      const { name, status } = readFailure(error);
      if (status === 416) return new Uint8Array(0);
      if (isAbsent(name, status)) return undefined;
      throw this.#error(error, "reading", key, signal);
    }
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<"created" | "exists"> {
    const objectKey = this.#objectKey(key);
    checkConditionalBody(key, body, options);
    const { signal, ifAbsent = false } = options;
    throwIfAborted(signal, `writing ${key}`);
    const target: Target = {
      client: this.#client,
      bucket: this.#bucket,
      objectKey,
      attempt: Buffer.from(this.#runtime.randomBytes(new Uint8Array(16))).toString("hex"),
      what: `writing ${key}`,
    };
    try {
      if (!isWhole(body)) await uploadStream(target, body, signal);
      else if (ifAbsent) return await createIfAbsent(target, body, this.#runtime, signal);
      else
        await this.#client.send(
          new PutObjectCommand({ ...this.#at(objectKey), Body: body }),
          abortable(signal),
        );
      return "created";
    } catch (error) {
      if (error instanceof SourceFailure) throw error.cause;
      throw this.#error(error, "writing", key, signal);
    }
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListEntry[]> {
    this.#checkOpen();
    checkPrefix(prefix);
    const { startAfter, limit = PAGE_MAX, signal } = options;
    checkLimit(limit);
    throwIfAborted(signal, `listing ${prefix}`);
    const found: ListEntry[] = [];
    let last = startAfter === undefined || startAfter === "" ? "" : this.#prefix + startAfter;
    let token: string | undefined;
    try {
      while (found.length < limit) {
        const page = await this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: this.#prefix + prefix,
            MaxKeys: Math.min(PAGE_MAX, limit - found.length),
            ...(token === undefined
              ? last === ""
                ? {}
                : { StartAfter: last }
              : { ContinuationToken: token }),
          }),
          abortable(signal),
        );
        for (const { Key = "", Size = 0 } of page.Contents ?? []) {
          if (last !== "" && compareKeys(Key, last) <= 0) throw this.#unordered(last, Key);
          last = Key;
          // Markers of directories, which other tools make, are no objects of ours.
          if (!Key.endsWith("/")) found.push({ key: Key.slice(this.#prefix.length), size: Size });
        }
        token = page.NextContinuationToken;
        if (page.IsTruncated !== true || token === undefined) break;
      }
      return found.slice(0, limit);
    } catch (error) {
      throw this.#error(error, "listing", prefix, signal);
    }
  }

  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const objectKeys = keys.map((key) => this.#objectKey(key));
    const { signal } = options;
    throwIfAborted(signal, "deleting objects");
    try {
      await this.#deleter.delete(objectKeys, signal);
    } catch (error) {
      throw this.#error(error, "deleting", keys[0] ?? "", signal);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#ownsClient) this.#client.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new PagefoldError("closed", `the store ${this.url} is closed; open it again`);
  }

  #objectKey(key: string): string {
    this.#checkOpen();
    checkKey(key);
    return this.#prefix + key;
  }

  #at(objectKey: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: objectKey };
  }

  #error(error: unknown, doing: string, key: string, signal: AbortSignal | undefined): PagefoldError {
    throwIfAborted(signal, `${doing} ${key}`);
    return s3Error(error, `${doing} ${key === "" ? "" : `${key} in `}${this.url}`, this.url, key);
  }

  #unordered(before: string, after: string): PagefoldError {
    return new PagefoldError(
      "invalid",
      `${this.url} does not list its keys in byte order (${after} came after ${before}), so it cannot hold volumes; ` +
        "use a general purpose bucket, not a directory bucket",
      { details: { store: this.url, key: after } },
    );
  }

  /** Size of the object, or `undefined` where it is absent. */
  async #size(objectKey: string, signal: AbortSignal | undefined): Promise<number | undefined> {
    try {
      const head = await this.#client.send(new HeadObjectCommand(this.#at(objectKey)), abortable(signal));
      return head.ContentLength ?? 0;
    } catch (error) {
      const { name, status } = readFailure(error);
      if (isAbsent(name, status)) return undefined;
      throw error;
    }
  }

  async #getBytes(
    objectKey: string,
    range: ByteRange | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const wanted = range === undefined ? {} : { Range: `bytes=${range.offset}-${lastByte(range)}` };
    const answer = await this.#client.send(
      new GetObjectCommand({ ...this.#at(objectKey), ...wanted }),
      abortable(signal),
    );
    if (range === undefined || answer.$metadata.httpStatusCode === 206) {
      const bytes = await collect(answer.Body, Number.POSITIVE_INFINITY);
      const start = /^bytes (\d+)-/.exec(answer.ContentRange ?? "")?.[1];
      const cut = answer.ContentLength !== undefined && bytes.length !== answer.ContentLength;
      if (
        cut ||
        (range !== undefined &&
          (bytes.length > range.length || Number(start ?? range.offset) !== range.offset))
      ) {
        throw new PagefoldError(
          "unavailable",
          `${this.url} answered with other bytes than asked for (${objectKey}); try again`,
          {
            details: { store: this.url, key: objectKey },
          },
        );
      }
      return bytes;
    }
    // A server or a proxy that ignores ranges sends the whole object: what lies before is skipped, the rest not read.
    return collect(answer.Body, range.length, range.offset);
  }
}

/** Last byte of a range that has one, as HTTP counts; exact beyond 2^53 it need not be. */
function lastByte({ offset, length }: ByteRange): number {
  return Math.min(Number.MAX_SAFE_INTEGER, offset + length - 1);
}
