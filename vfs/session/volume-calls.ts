/** The requests of a session that concern its volume and no SQL: replication, hydration, the log. */
import { isPagefoldError } from "../../src/base/errors.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { diffDatabase } from "../btree/database-diff.ts";
import { classifierOf } from "../sqlite/page-class.ts";
import type { LogPoint, LogReply, PushReply, SessionCalls } from "./protocol.ts";
import type { VolumeCallKind } from "./volume-call-kinds.ts";

export interface VolumeCallContext {
  readonly store: PageStore;
  readonly volume: Volume;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (what: string) => (done: number, total: number) => void;
}

type Handlers = {
  readonly [K in VolumeCallKind]: (
    context: VolumeCallContext,
    request: SessionCalls[K]["request"],
  ) => Promise<SessionCalls[K]["reply"]>;
};

export const volumeCalls: Handlers = {
  fetch: ({ volume, signal }) => volume.fetch(optional(signal)),
  pull: async ({ volume, signal }) => {
    const { from, to, changedPages } = await volume.pull(optional(signal));
    return { from, lsn: to, changedPages };
  },
  push,
  reset: ({ volume, signal }) => volume.reset(optional(signal)),
  fork: async ({ store, volume, signal }, { tag, localCommits }) => {
    const fork = await store.fork(volume.id, { tag, localCommits, ...optional(signal) });
    return { volume: fork.id };
  },
  hydrate: async ({ volume, signal, onProgress }) => {
    const { pages, fetchedPages } = await volume.hydrate({
      ...optional(signal),
      onProgress: onProgress("hydrate"),
    });
    return { pages, fetchedPages };
  },
  verify: async ({ volume, signal, onProgress }, which) => {
    const tell = onProgress("verify");
    const { lsn, commits, pages } = await volume.verify({
      ...which,
      ...optional(signal),
      onProgress: ({ part, pages: { done, total } }) => (part === "pages" ? tell(done, total) : undefined),
    });
    return { lsn, commits, pages };
  },
  compact: async ({ volume, signal, onProgress }, options) =>
    volume.compact({
      ...options,
      classify: await classifierOf(volume, optional(signal)),
      ...optional(signal),
      onProgress: onProgress("compact"),
    }),
  restore: ({ volume, signal, onProgress }, { at }) =>
    volume.restore({ at: pointOf(at), ...optional(signal), onProgress: onProgress("restore") }),
  log: async ({ volume, signal }, { since, until, ...which }) => {
    const entries: LogReply[] = [];
    const options = {
      ...which,
      ...(since === undefined ? {} : { since: pointOf(since) }),
      ...(until === undefined ? {} : { until: pointOf(until) }),
      ...optional(signal),
    };
    for await (const { lsn, time, pages, pageCount, bytes, hash } of volume.log(options))
      entries.push({ lsn, time, pages, pageCount, bytes, hash });
    return entries;
  },
  diff: ({ volume, signal }, { from, to, ...options }) =>
    diffDatabase(volume, pointOf(from), pointOf(to), { ...options, ...optional(signal) }),
};

/** A push, and what becomes of local commits whose push another writer has won. */
async function push(
  { store, volume, signal }: VolumeCallContext,
  { onDiverged, tag }: SessionCalls["push"]["request"],
): Promise<PushReply> {
  const options = optional(signal);
  try {
    const { lsn, commits, changedPages, storedBytes } = await volume.push(options);
    const outcome = commits === 0 ? "nothing" : "pushed";
    return { outcome, lsn, commits, changedPages, storedBytes, ahead: volume.status().ahead };
  } catch (error) {
    if (onDiverged === "error" || !isPagefoldError(error, "diverged")) throw error;
  }
  const before = volume.status().ahead;
  if (onDiverged === "fork") {
    const fork = await store.fork(volume.id, {
      localCommits: "move",
      ...(tag === undefined ? {} : { tag }),
      ...options,
    });
    const lsn = await pullIfPossible(volume, options);
    const none = { changedPages: 0, storedBytes: 0, ahead: volume.status().ahead };
    const where = { volume: fork.id, ...(tag === undefined ? {} : { tag }) };
    return { outcome: "forked", lsn, commits: before, ...none, fork: where };
  }
  const { dropped } = await volume.reset({ ...options, pull: true });
  const { lsn, ahead } = volume.status();
  return { outcome: "reset", lsn, commits: dropped, changedPages: 0, storedBytes: 0, ahead };
}

/** The fork has been made: that is told also where the store has just stopped to answer, or a local commit has come. The next pull moves on. */
async function pullIfPossible(volume: Volume, options: { readonly signal?: AbortSignal }): Promise<number> {
  try {
    return (await volume.pull(options)).to;
  } catch (error) {
    if (!isPagefoldError(error, "unavailable", "aborted", "diverged")) throw error;
    return volume.status().lsn;
  }
}

/** As the engine takes it. */
function pointOf(point: LogPoint): number | Date {
  return "lsn" in point ? point.lsn : new Date(point.time);
}

function optional(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
