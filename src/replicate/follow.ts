/**
 * Following a volume: moving with the remote log as it grows. Where the store tells of new commits (`watch`), a commit is pulled as soon as it is
 * told, without any request where it came along; elsewhere the log is looked at now and then.
 */
import type { Lsn } from "../base/brand.ts";
import { abortedError, isPagefoldError } from "../base/errors.ts";
import { commitKey, commitsPrefix } from "../format/keys.ts";
import type { CommitNews } from "../remote/object-store.ts";
import type { ReplicaContext } from "./context.ts";
import { fetchRemote, type PullResult, pull } from "./fetch.ts";

export interface FollowOptions {
  readonly signal?: AbortSignal;
  /** How often the remote is asked where it cannot tell by itself, milliseconds; default 5000. */
  readonly pollMs?: number;
  /** The news come live, or not (with the reason): then the remote is asked every `pollMs`. */
  readonly onState?: (state: "live" | "waiting", reason?: unknown) => void;
}

const DEFAULT_POLL_MS = 5000;

/**
 * Yields every move to a newer commit; ends when the signal fires. While there are local commits nothing moves: what is new is learned, and the
 * status says `diverged`. Failures that may pass are waited out.
 * @throws `not_found` (the volume is gone), `corrupt`, `unauthorized`, `forbidden`
 */
export async function* follow(
  context: ReplicaContext,
  options: FollowOptions = {},
): AsyncGenerator<PullResult, void, undefined> {
  const inbox = new Inbox(context, options);
  try {
    let news: CommitNews | undefined | "ended" = await inbox.first();
    while (news !== "ended") {
      const moved: PullResult | "later" | undefined = await moveTo(context, news, options);
      if (moved !== undefined && moved !== "later" && moved.to > moved.from) yield moved;
      news = await inbox.next(moved === "later");
    }
  } catch (error) {
    if (options.signal?.aborted !== true) throw error;
  } finally {
    inbox.close();
  }
}

/** "later": there is more than could be moved to now. */
async function moveTo(
  context: ReplicaContext,
  news: CommitNews | undefined,
  { signal, onState }: FollowOptions,
): Promise<PullResult | "later" | undefined> {
  const { replica } = context;
  const options = signal === undefined ? {} : { signal };
  if (news !== undefined && news.lsn <= replica.state.base.lsn) return undefined;
  if (news !== undefined) learnFrom(context, news);
  const told = news === undefined ? options : { ...options, head: news.lsn as Lsn };
  try {
    const { remote } = context;
    if (replica.state.commits.length === 0) return await remote.orSingly(() => pull(context, told));
    const { behind } = await remote.orSingly(() => fetchRemote(context, told));
    return behind > 0 ? "later" : undefined;
  } catch (error) {
    // A local commit was quicker than the pull: the status says so already.
    if (isPagefoldError(error, "diverged") && error.details.ahead !== undefined) return "later";
    if (!isPagefoldError(error) || !error.retryable) throw error;
    onState?.("waiting", error);
    return "later";
  }
}

/** The commit that came along is at hand for whoever asks for it next. */
function learnFrom({ replica, remote }: ReplicaContext, { lsn, object }: CommitNews): void {
  if (object === undefined) return;
  const { volume } = replica.manifest;
  const key = commitKey(volume, lsn as Lsn);
  const total = object.length;
  remote.learn({
    objects: [{ key, offset: 0, total, bytes: object }],
    absent: [],
    listings: [{ prefix: commitsPrefix(volume), entries: [{ key, size: total }], complete: false }],
  });
}

/** News as they come in between two looks: only the newest counts. */
class Inbox {
  readonly #context: ReplicaContext;
  readonly #options: FollowOptions;
  #newest: CommitNews | undefined;
  #failure: { readonly reason: unknown } | undefined;
  #wake: () => void = () => {};
  #stop: (() => void) | undefined;
  #live = false;

  constructor(context: ReplicaContext, options: FollowOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Looks at the log once, and begins to listen. */
  async first(): Promise<undefined | "ended"> {
    const { replica, remote } = this.#context;
    if (this.#options.signal?.aborted === true) return "ended";
    this.#options.signal?.addEventListener("abort", this.#onAbort);
    this.#stop = remote.watch?.(replica.manifest.volume, replica.state.base.lsn, {
      onNews: (news) => {
        if (this.#newest === undefined || news.lsn >= this.#newest.lsn) this.#newest = news;
        this.#wake();
      },
      onState: (state, reason) => {
        this.#live = state === "live";
        this.#options.onState?.(state, reason);
        // A wait that was to last until the next look is begun anew.
        this.#wake();
      },
      onEnd: (reason) => {
        this.#failure = { reason };
        this.#wake();
      },
    });
    return undefined;
  }

  /** What was told; undefined where it is time to look. @param again look again soon, whatever is told */
  async next(again: boolean): Promise<CommitNews | undefined | "ended"> {
    const { pollMs = DEFAULT_POLL_MS, signal } = this.#options;
    for (;;) {
      if (signal?.aborted === true) return "ended";
      if (this.#failure !== undefined) throw this.#failure.reason;
      const news = this.#newest;
      this.#newest = undefined;
      if (news !== undefined) return news;
      if (await this.#wait(this.#live && !again ? undefined : pollMs)) return undefined;
    }
  }

  close(): void {
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#stop?.();
    this.#wake();
  }

  readonly #onAbort = (): void => this.#wake();

  /** True where the time is over and nothing woke it. */
  async #wait(ms: number | undefined): Promise<boolean> {
    const woken = new Promise<false>((resolve) => {
      this.#wake = () => resolve(false);
    });
    if (ms === undefined) return woken;
    const controller = new AbortController();
    const slept = this.#context.runtime.sleep(ms, controller.signal).then(
      () => true,
      () => false,
    );
    try {
      return await Promise.race([woken, slept]);
    } finally {
      controller.abort(abortedError("waiting for news"));
    }
  }
}
