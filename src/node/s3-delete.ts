/** Deletion on S3: a thousand keys a request where the server can do that, one by one where it cannot. */
import { DeleteObjectCommand, DeleteObjectsCommand, type S3Client } from "@aws-sdk/client-s3";
import { abortable, isAbsent } from "./s3-client.ts";
import { readFailure } from "./s3-errors.ts";

const BATCH = 1000;
const SINGLES_IN_FLIGHT = 16;
/** What servers answer that have no multi-object delete, or want it in another way. */
const NO_BATCH = new Set([
  "NotImplemented",
  "MethodNotAllowed",
  "MissingContentMD5",
  "InvalidRequest",
  "MalformedXML",
]);

export class Deleter {
  readonly #client: S3Client;
  readonly #bucket: string;
  /** Until the server is found not to. */
  #takesBatches = true;

  constructor(client: S3Client, bucket: string) {
    this.#client = client;
    this.#bucket = bucket;
  }

  /** Absent keys are ignored. Throws the SDK's errors; some keys may be deleted then. */
  async delete(objectKeys: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    for (let at = 0; at < objectKeys.length; at += BATCH) {
      await this.#deleteSome(objectKeys.slice(at, at + BATCH), signal);
    }
  }

  async #deleteSome(objectKeys: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    if (this.#takesBatches && objectKeys.length > 1) {
      try {
        return await this.#deleteBatch(objectKeys, signal);
      } catch (error) {
        const { name, status } = readFailure(error);
        if (!NO_BATCH.has(name) && status !== 501 && status !== 405) throw error;
        this.#takesBatches = false;
      }
    }
    for (let at = 0; at < objectKeys.length; at += SINGLES_IN_FLIGHT) {
      const some = objectKeys.slice(at, at + SINGLES_IN_FLIGHT);
      await Promise.all(some.map((objectKey) => this.#deleteOne(objectKey, signal)));
    }
  }

  async #deleteBatch(objectKeys: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    const Objects = objectKeys.map((Key) => ({ Key }));
    const { Errors = [] } = await this.#client.send(
      new DeleteObjectsCommand({ Bucket: this.#bucket, Delete: { Objects, Quiet: true } }),
      abortable(signal),
    );
    const failed = Errors.find(({ Code }) => Code !== "NoSuchKey");
    if (failed === undefined) return;
    const { Code = "InternalError", Message = "the server gave no reason", Key = "" } = failed;
    throw Object.assign(new Error(`${Message} (${Key}, and ${Errors.length - 1} more)`), { name: Code });
  }

  async #deleteOne(objectKey: string, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#client.send(
        new DeleteObjectCommand({ Bucket: this.#bucket, Key: objectKey }),
        abortable(signal),
      );
    } catch (error) {
      const { name, status } = readFailure(error);
      if (!isAbsent(name, status)) throw error;
    }
  }
}
