/**
 * Pins that have done their work: of restores, once the floor passed the commit that they were for, or another commit took its LSN; of the volume itself
 * in its parent, once it reads nothing there any more.
 */
import type { Lsn } from "../../base/brand.ts";
import { forkKey } from "../../format/keys.ts";
import { forkPoint } from "../../format/model.ts";
import { loadCommits } from "../../replicate/commit-lookup.ts";
import type { RestorePin } from "../keep/pins.ts";
import type { SweepContext } from "./sweep.ts";

export async function sweepPins(sweep: SweepContext): Promise<void> {
  const { context, lowest, protection, pins, sweeper } = sweep;
  const { manifest } = context.replica;
  const shared = forkPoint(manifest);
  const independent = protection.independent && lowest > shared;
  const lost = await lostRestores(sweep);
  const isDone = (pin: RestorePin): boolean => {
    if (lost.has(pin)) return true;
    // Pages that ancestors hold are read there, by their writers, for as long as a kept state does not have them itself.
    return pin.lsn < lowest && (pin.from > shared || independent);
  };
  const done = pins.restores.filter(isDone);
  const needed = new Set(pins.restores.filter((pin) => !isDone(pin)).map(({ from }) => from));
  for (const { key, from } of done) {
    await sweeper.take({ key, size: 0 }, "others");
    // A restore to before the fork point has pinned that state in the ancestor, too.
    if (from >= 1 && from < shared && !needed.has(from)) {
      const owner = context.replica.directory.volumeOf(from);
      await sweeper.take({ key: forkKey(owner, manifest.volume, from), size: 0 }, "others");
    }
  }
  const [parent] = manifest.ancestors;
  if (parent !== undefined && independent) {
    const key = forkKey(parent.volume, manifest.volume, parent.lsn);
    if ((await context.remote.get(key, sweep.signal)) !== undefined)
      await sweeper.take({ key, size: 0 }, "others");
  }
}

/** Those whose LSN another commit has. */
async function lostRestores({ context, lowest, pins, signal }: SweepContext): Promise<Set<RestorePin>> {
  const { replica, fetcher, frames } = context;
  const open = pins.restores.filter(({ lsn }) => lsn >= lowest && lsn > forkPoint(replica.manifest));
  if (open.length === 0) return new Set();
  const lsns = new Set<Lsn>(open.map(({ lsn }) => lsn));
  const commits = await fetcher.run(loadCommits(frames, lsns, { mayBeGone: true }), signal.signal);
  return new Set(
    open.filter(({ lsn, from }) => {
      const commit = commits.get(lsn);
      return commit !== undefined && commit.header.restoredFrom !== from;
    }),
  );
}
