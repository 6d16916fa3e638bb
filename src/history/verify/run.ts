/**
 * What one verification works with: the store and nothing of what this side has cached, counted requests, what was found, how far it has come. Parts of a
 * verification (log, pages, states) report here and decide nothing about going on.
 */
import type { Hash, Lsn, StateChecksum, VolumeId } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError, throwIfAborted } from "../../base/errors.ts";
import type { Manifest } from "../../format/model.ts";
import type { StateSource } from "../../replicate/build-state.ts";
import type { FramePlanContext } from "../../replicate/commit-lookup.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { Fetcher } from "../../replicate/fetcher.ts";
import { CommitDirectory } from "../../volume/commit-directory.ts";
import type { FetchPlan } from "../../volume/fetch-plan.ts";
import type { VerifyPart, VerifyToken } from "./token.ts";

/** Something that is not as it was written. */
export interface Finding {
  readonly code: "corrupt" | "not_found" | "unsupported_version";
  readonly message: string;
  readonly volume?: string;
  readonly lsn?: number;
  readonly segment?: string;
  readonly frame?: number;
  readonly page?: number;
  readonly key?: string;
}

export interface VerifyProgress {
  /** `log`: headers; `pages`: frames and digest areas; `states`: what every commit says of its state (`deep`). */
  readonly part: VerifyPart;
  /** Of this part. */
  readonly commits: { readonly done: number; readonly total: number };
  readonly pages: { readonly done: number; readonly total: number };
  /** Bytes of pages that were verified, uncompressed, and of all that there are to verify. */
  readonly bytes: { readonly done: number; readonly total: number };
  readonly findings: number;
  /** What `resume` takes, to go on from here in another run. */
  token(): string;
}

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  /** Requests at a time; default 16. */
  readonly concurrency?: number | undefined;
  /** Collects what is wrong instead of stopping at the first. */
  readonly keepGoing?: boolean | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/** Findings that are kept; more are counted. */
const FINDINGS_KEPT = 1000;
/** A verification reads everything once: what it remembers need not be much. */
const LIMITS = {
  headerBytes: 8 * 2 ** 20,
  startBytes: 4 * 2 ** 20,
  indexBytes: 8 * 2 ** 20,
  digestBytes: 32 * 2 ** 20,
  // Decoded they take ten times as much.
  checkpointBytes: 8 * 2 ** 20,
};

export class VerifyRun {
  readonly context: ReplicaContext;
  readonly manifest: Manifest;
  readonly volume: VolumeId;
  readonly directory: CommitDirectory;
  readonly frames: FramePlanContext;
  readonly source: StateSource;
  readonly signal: AbortSignal | undefined;
  readonly concurrency: number;
  readonly keepGoing: boolean;
  readonly findings: Finding[] = [];
  findingCount = 0;
  /** How often something was found to be wrong in this run, be it the same thing. */
  reports = 0;
  requests = 0;
  bytesFetched = 0;
  readonly #onProgress: RunOptions["onProgress"];
  readonly #fetcher: Fetcher;
  #token: VerifyToken;

  constructor(context: ReplicaContext, token: VerifyToken, options: RunOptions) {
    const { replica, codecs, remote, recorder } = context;
    // What came in bundles may be other bytes than the store's own objects.
    remote.forget();
    const store = {
      url: remote.url,
      capabilities: remote.capabilities,
      get: async (...args: Parameters<typeof remote.get>) => {
        this.requests++;
        const bytes = await remote.get(...args);
        this.bytesFetched += bytes?.length ?? 0;
        return bytes;
      },
      put: remote.put.bind(remote),
      list: remote.list.bind(remote),
      delete: remote.delete.bind(remote),
      close: async () => {},
    };
    this.context = context;
    this.manifest = replica.manifest;
    this.volume = replica.manifest.volume;
    this.directory = new CommitDirectory(replica.manifest, undefined, LIMITS);
    this.frames = { directory: this.directory, codecs, storeUrl: remote.url };
    this.concurrency = options.concurrency ?? context.fetcher.settings.concurrency;
    this.#fetcher = new Fetcher(store, recorder, {
      ...context.fetcher.settings,
      concurrency: this.concurrency,
    });
    this.signal = options.signal;
    this.keepGoing = options.keepGoing === true;
    this.#onProgress = options.onProgress;
    this.#token = token;
    this.findings.push(...token.findings);
    this.findingCount = token.findingCount;
    this.source = {
      directory: this.directory,
      codecs,
      remote: store,
      originHash: replica.originHash,
      run: (plan, signal) => this.#fetcher.run(plan, signal),
    };
  }

  get token(): VerifyToken {
    return { ...this.#token, findings: this.findings, findingCount: this.findingCount };
  }

  fetch<T>(plan: FetchPlan<T>): Promise<T> {
    return this.#fetcher.run(plan, this.signal);
  }

  /** One range, for a caller who may give the bytes away. */
  get(key: string, offset: number, length: number): Promise<Uint8Array | undefined> {
    return this.#fetcher.getAlone({ key, offset, length }, this.signal);
  }

  /** Says how far it has come, after `change` is where it can go on from. @throws `aborted` */
  advance(change: Partial<VerifyToken>, progress: Omit<VerifyProgress, "findings" | "token">): void {
    this.#token = { ...this.#token, ...change };
    this.tell(progress);
    throwIfAborted(this.signal, `verifying volume ${this.volume}`);
  }

  tell(progress: Omit<VerifyProgress, "findings" | "token">): void {
    this.#onProgress?.({
      ...progress,
      findings: this.findingCount,
      token: () => JSON.stringify(this.token),
    });
  }

  /** Something is wrong: thrown, or noted where the verification is to go on. Failures of another kind are always thrown. */
  report(error: unknown): void {
    if (!this.keepGoing || !isFinding(error)) throw error;
    this.reports++;
    const { code, message, details } = error;
    const { volume, lsn, segment, frame, page, key } = details;
    const place = Object.entries({ volume, lsn, segment, frame, page, key });
    const finding = {
      ...{ code, message },
      ...Object.fromEntries(place.filter(([, value]) => value !== undefined)),
    } as Finding;
    // The same object is met in several ways.
    if (this.findings.some((known) => known.message === message)) return;
    this.findingCount++;
    if (this.findings.length < FINDINGS_KEPT) this.findings.push(finding);
  }

  /** Runs some work whose findings are reported; undefined where there was one. @param key the object that it looks at, where errors may not say */
  async attempt<T>(work: () => Promise<T>, key?: string): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.report(key === undefined ? error : placed(error, key));
      return undefined;
    }
  }

  /** Works on all items, so many at a time; after a failure none is begun, and those under way are waited for. */
  async each<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
    const queue = items[Symbol.iterator]();
    let failure: { readonly error: unknown } | undefined;
    const worker = async (): Promise<void> => {
      for (;;) {
        if (failure !== undefined) return;
        const next = queue.next();
        if (next.done === true) return;
        try {
          throwIfAborted(this.signal, `verifying volume ${this.volume}`);
          await work(next.value);
        } catch (error) {
          failure ??= { error };
        }
      }
    };
    await Promise.all(Array.from({ length: this.concurrency }, worker));
    if (failure !== undefined) throw failure.error;
  }
}

function placed(error: unknown, key: string): unknown {
  if (!isFinding(error) || error.details.key !== undefined) return error;
  const details = { ...error.details, key };
  return new PagefoldError(error.code, error.message, { cause: error.cause ?? error, details });
}

type FindingError = PagefoldError & { readonly code: Finding["code"] };

function isFinding(error: unknown): error is FindingError {
  return isPagefoldError(error, "corrupt", "not_found", "unsupported_version");
}

/** What is verified: a state, and the log below it. */
export interface Target {
  readonly lsn: Lsn;
  readonly hash: Hash;
  readonly stateChecksum: StateChecksum;
}
