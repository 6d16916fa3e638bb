/**
 * Pushers write checkpoints, so that a log stays quick to open though nobody compacts it: at every LSN that `checkpointEvery` divides, after the push was
 * acknowledged, in the background, one at a time. What fails is counted; nothing depends on it.
 */
import type { FinishedCommit } from "../../replicate/commit-writer.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { type CheckpointName, writeCheckpoint } from "./checkpoint.ts";

/** What this side pushed since it wrote a checkpoint last, or was opened. */
interface Pushed {
  commits: number;
  bytes: number;
}

const pushedBy = new WeakMap<ReplicaContext, Pushed>();

/** Told of every push that was acknowledged. Returns at once. @param every 0: never */
export function checkpointAfterPush(context: ReplicaContext, every: number, commit: FinishedCommit): void {
  if (every === 0) return;
  const pushed = pushedBy.get(context) ?? { commits: 0, bytes: 0 };
  pushedBy.set(context, pushed);
  pushed.commits++;
  pushed.bytes += commit.storedBytes;
  if (commit.lsn % every !== 0 || context.background !== undefined) return;
  const { base, baseHeader } = context.replica.state;
  // Where it has moved on already, the next one will do.
  if (base.lsn !== commit.lsn || baseHeader === undefined) return;
  const controller = new AbortController();
  const since = commit.lsn - (context.checkpoint?.lsn ?? commit.header.checkpoint?.lsn ?? 0);
  const maxBytes = (pushed.bytes / pushed.commits) * since;
  const work = async (): Promise<void> => {
    try {
      // The caller of the push goes on first: a large table takes a while.
      await context.runtime.sleep(0, controller.signal);
      const options = { signal: controller.signal, maxBytes };
      const written = await writeCheckpoint(context, base, baseHeader, options);
      if (written === undefined) return;
      anchor(context, written);
      context.recorder.count("push.checkpoints");
      context.recorder.count("push.checkpoint_bytes", written.bytes);
      pushedBy.delete(context);
    } catch {
      // Whatever it was, it must not harm a push that is done; the next multiple tries again.
      if (!controller.signal.aborted) context.recorder.count("push.checkpoint_failed");
    } finally {
      delete context.background;
    }
  };
  context.background = { done: work(), abort: () => controller.abort() };
}

/** The next commit names it, unless a newer one is known. */
export function anchor(context: ReplicaContext, { lsn, hash }: CheckpointName): void {
  const { directory, manifest } = context.replica;
  // A header's reader looks for it where the commit of its LSN is: with a fork's ancestor.
  if (directory.volumeOf(lsn) !== manifest.volume) return;
  if (lsn >= (context.checkpoint?.lsn ?? 0)) context.checkpoint = { lsn, hash };
}
