/**
 * Worker threads that compress, decompress and hash for bulk work (import, push, hydrate, export). Started when there is enough to
 * do, one job at a time each; a worker that dies fails its job and is replaced by the next one.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { PagefoldError } from "../base/errors.ts";
import { Semaphore } from "../base/semaphore.ts";
import { joinBytes } from "../format/bytes.ts";
import type { Codecs } from "../format/codecs.ts";
import {
  type DecodedFrames,
  type DecodeJob,
  type FrameDecoder,
  inlineFrameDecoder,
} from "../format/frame-decoder.ts";
import {
  type EncodedBatch,
  type EncodeJob,
  type FrameEncoder,
  inlineFrameEncoder,
} from "../format/frame-encoder.ts";
import type { CodecReply, CodecRequest, DecodeReply, EncodeReply } from "./codec-messages.ts";

/** Jobs done on the calling thread before workers are started: a commit of a few of them is over by then. */
const INLINE_JOBS = 2;
/** Page bytes that are no reason to wake another thread: it takes as long as the work does. */
const INLINE_BYTES = 64 * 1024;

/**
 * Page bytes lie outside of the heap, so what a worker leaves behind is small objects that keep large buffers alive: a young generation of
 * Node's own size would let hundreds of megabytes of them pile up before they are collected.
 */
const YOUNG_GENERATION_MB = 2;

/** The built worker script: beside this module in the package, in `dist` when running from source. */
function workerScript(): string | undefined {
  const places = [
    new URL("./codec-worker.js", import.meta.url),
    new URL("../../dist/codec-worker.js", import.meta.url),
  ];
  return places.map((place) => fileURLToPath(place)).find((path) => existsSync(path));
}

export class CodecPool implements FrameEncoder, FrameDecoder {
  readonly parallelism: number;
  readonly #script: string | undefined;
  readonly #inline: FrameEncoder & FrameDecoder;
  readonly #idle: CodecThread[] = [];
  readonly #all = new Set<CodecThread>();
  readonly #slots: Semaphore;
  /** Memory that went round through a worker and is free for the next answer. */
  readonly #spare: Uint8Array[] = [];
  #inlineJobs = 0;
  #closed = false;

  /** @param workers threads at most; 0 does everything on the calling thread */
  constructor(codecs: Codecs, workers: number) {
    this.#script = workers === 0 ? undefined : workerScript();
    this.parallelism = this.#script === undefined ? 1 : workers;
    this.#slots = new Semaphore(this.parallelism, "a codec worker");
    this.#inline = { ...inlineFrameEncoder(codecs), ...inlineFrameDecoder(codecs) };
  }

  async encode(job: EncodeJob): Promise<EncodedBatch> {
    if (this.#runInline(job.bytes.length)) return this.#inline.encode(job);
    const { pages, bytes, pageSize, framePages, seed } = job;
    const request = { kind: "encode", pages, bytes, pageSize, framePages, seed } as const;
    const whole = bytes.byteLength === bytes.buffer.byteLength;
    const reply = (await this.#run(request, whole ? [bytes.buffer as ArrayBuffer] : [])) as EncodeReply;
    let at = 0;
    const frames = reply.frames.map(({ codec, length, hash }) => {
      at += length;
      return { codec, hash, bytes: reply.bytes.subarray(at - length, at) };
    });
    return { frames, digests: reply.digests, ...(whole ? { spent: reply.spent } : {}) };
  }

  async decode(job: DecodeJob): Promise<DecodedFrames> {
    const pages = job.frames.reduce((sum, frame) => sum + frame.pages.length, 0);
    if (this.#runInline(pages * job.pageSize)) return this.#inline.decode(job);
    const stored = wholeBuffer(joinBytes(job.frames.map((frame) => frame.stored)));
    const frames = job.frames.map(({ frame, pages, where }) => ({ frame, pages, where }));
    const { pageSize, digestSeed } = job;
    const reuse = this.#spare.pop();
    const request = { kind: "decode", stored, frames, pageSize, digestSeed, reuse } as const;
    const buffers = reuse === undefined ? [stored.buffer] : [stored.buffer, reuse.buffer];
    return (await this.#run(request, buffers as ArrayBuffer[])) as DecodeReply;
  }

  recycle(bytes: Uint8Array): void {
    if (this.#spare.length < this.parallelism) this.#spare.push(new Uint8Array(bytes.buffer));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#spare.length = 0;
    await Promise.all([...this.#all].map((thread) => thread.close()));
    this.#all.clear();
    this.#idle.length = 0;
  }

  #runInline(bytes: number): boolean {
    if (this.#script === undefined || bytes <= INLINE_BYTES) return true;
    return this.#all.size === 0 && this.#inlineJobs++ < INLINE_JOBS;
  }

  async #run(request: Omit<CodecRequest, "id">, transfer: ArrayBuffer[]): Promise<CodecReply> {
    return this.#slots.run(async () => {
      if (this.#closed)
        throw new PagefoldError(
          "closed",
          "the store was closed while it was compressing or reading; open it again",
        );
      const thread = this.#idle.pop() ?? this.#start();
      try {
        return await thread.run(request as CodecRequest, transfer);
      } finally {
        if (thread.alive) this.#idle.push(thread);
        else this.#all.delete(thread);
      }
    });
  }

  #start(): CodecThread {
    const thread = new CodecThread(this.#script!);
    this.#all.add(thread);
    return thread;
  }
}

/** Bytes that can be transferred: those of a buffer of their own, copied where they are only a part of one. */
function wholeBuffer(bytes: Uint8Array): Uint8Array {
  return bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice();
}

/** One worker and the job it is on. */
class CodecThread {
  readonly #worker: Worker;
  #job:
    | { readonly resolve: (reply: CodecReply) => void; readonly reject: (error: unknown) => void }
    | undefined;
  alive = true;

  constructor(script: string) {
    this.#worker = new Worker(script, { resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB } });
    this.#worker.unref();
    this.#worker.on("message", (reply: CodecReply) => this.#settle(reply));
    this.#worker.on("error", (error) => this.#died(error));
    this.#worker.on("exit", () => this.#died(undefined));
  }

  run(request: CodecRequest, transfer: ArrayBuffer[]): Promise<CodecReply> {
    return new Promise((resolve, reject) => {
      this.#job = { resolve, reject };
      // A process with a job under way must not end before it is done.
      this.#worker.ref();
      this.#worker.postMessage({ ...request, id: 0 }, transfer);
    });
  }

  async close(): Promise<void> {
    this.alive = false;
    await this.#worker.terminate();
  }

  #settle(reply: CodecReply): void {
    const job = this.#job;
    this.#job = undefined;
    this.#worker.unref();
    if (reply.kind === "failed") {
      const { code, message, details } = reply;
      job?.reject(code === undefined ? new Error(message) : new PagefoldError(code, message, { details }));
    } else {
      job?.resolve(reply);
    }
  }

  #died(cause: unknown): void {
    this.alive = false;
    const job = this.#job;
    this.#job = undefined;
    job?.reject(
      new PagefoldError(
        "unavailable",
        "a codec worker ended in the middle of its job (out of memory?); run the operation again",
        { cause },
      ),
    );
  }
}
