/**
 * Times of commits, for questions that come by the hundred: a search down the skip list that never goes below an LSN, since commits there may be gone,
 * and that remembers what it passed. Every header is proven by the one above it.
 */
import { type Hash, LSN_ZERO, type Lsn, type TimeMs } from "../../base/brand.ts";
import { decodeCommit } from "../../format/commit-codec.ts";
import { loadCommits, proveCommit } from "../../replicate/commit-lookup.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { hashOf } from "../../volume/remote-state.ts";
import type { CommitTime } from "./retention-plan.ts";

type Signal = { readonly signal?: AbortSignal };

interface Passed extends CommitTime {
  readonly jumpHashes: readonly Hash[];
}

export class LogTimes {
  readonly #context: ReplicaContext;
  readonly #bottom: Lsn;
  readonly #signal: AbortSignal | undefined;
  readonly #passed = new Map<Lsn, Passed>();

  /** @param bottom the oldest commit that is there for certain */
  constructor(context: ReplicaContext, bottom: Lsn, { signal }: Signal) {
    this.#context = context;
    this.#bottom = bottom;
    this.#signal = signal;
  }

  /** The newest commit that the replica has seen. */
  get newest(): CommitTime | undefined {
    const { lsn, time } = this.#context.replica.state.base;
    return lsn === LSN_ZERO ? undefined : { lsn, time };
  }

  /** The newest commit from the bottom on that was made before `time`. O(log n) requests, of which most are known after a few questions. */
  async newestBefore(time: number): Promise<CommitTime | undefined> {
    const { newest } = this;
    if (newest === undefined || newest.lsn < this.#bottom) return undefined;
    if (newest.time < time) return newest;
    let above = this.#newestPassed();
    // `above` is not before the time; whatever lies at `below` or under it is, or is out of bounds.
    let below: CommitTime = { lsn: (this.#bottom - 1) as Lsn, time: 0 as TimeMs };
    while (above.lsn - below.lsn > 1) {
      let step = above.jumpHashes.length - 1;
      while (above.lsn - 2 ** step <= below.lsn) step--;
      const next = await this.#pass((above.lsn - 2 ** step) as Lsn, above.jumpHashes[step]!);
      if (next.time < time) below = next;
      else above = next;
    }
    return below.lsn < this.#bottom ? undefined : { lsn: below.lsn, time: below.time };
  }

  #newestPassed(): Passed {
    const { base, baseHeader } = this.#context.replica.state;
    const known = this.#passed.get(base.lsn);
    if (known !== undefined) return known;
    const { hash } = this.#context.codecs;
    const { header } = decodeCommit(baseHeader!, hash, { lsn: base.lsn, hash: hashOf(base) });
    return this.#learn(header);
  }

  async #pass(lsn: Lsn, hash: Hash): Promise<Passed> {
    const known = this.#passed.get(lsn);
    if (known !== undefined) return known;
    const { fetcher, frames } = this.#context;
    const commits = await fetcher.run(loadCommits(frames, [lsn]), this.#signal);
    return this.#learn(proveCommit(frames, commits.get(lsn)!, hash).header);
  }

  #learn({ lsn, time, jumpHashes }: Passed): Passed {
    const passed = { lsn, time, jumpHashes };
    this.#passed.set(lsn, passed);
    return passed;
  }
}
