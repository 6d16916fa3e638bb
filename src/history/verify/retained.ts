/**
 * States that only checkpoints keep, as their commits were collected: what each says of its pages, recomputed from digest areas. From one to the next only
 * what differs is looked at.
 */
import { PagefoldError } from "../../base/errors.ts";
import { StateChecksumSum } from "../../format/checksum.ts";
import { checkpointKey } from "../../format/keys.ts";

import { stateOfCheckpoint } from "../../replicate/build-state.ts";
import { digestsOf } from "../../replicate/digests.ts";
import { loadCheckpoint, newestFloorOf } from "../../replicate/floor.ts";
import { PageTable } from "../../volume/page-table.ts";
import type { RemoteState } from "../../volume/remote-state.ts";
import { differingPages } from "../fork/merge.ts";
import type { LogSpan } from "./log.ts";
import type { VerifyRun } from "./run.ts";
import { wrongSum } from "./states.ts";

const SLICE_PAGES = 65_536;

/** Answers the state that the log goes on from; undefined where that was reported. */
export async function verifyRetained(
  run: VerifyRun,
  span: LogSpan,
  counts: { states: number; checkpoints: number },
): Promise<RemoteState | undefined> {
  const { volume, start } = span.collected!;
  const floor = (await newestFloorOf(run.source, volume, { signal: run.signal }))!;
  // A fork needs no other state of its parent than the one that it begins with.
  const first = volume === run.volume ? 0 : start;
  const kept = floor.checkpoints.filter(({ lsn }) => lsn >= first && lsn <= start);
  let before: { readonly table: PageTable; readonly pageCount: number } = {
    table: PageTable.empty,
    pageCount: 0,
  };
  const sum = new StateChecksumSum();
  let last: RemoteState | undefined;
  for (const named of kept) {
    last = undefined;
    const key = checkpointKey(volume, named.lsn, named.hash);
    const loaded = await run.attempt(async () => {
      const found = await run.fetch(loadCheckpoint(run.frames, { volume, ...named }));
      if (found !== undefined) return found;
      throw new PagefoldError(
        "corrupt",
        `the checkpoint of volume ${volume} at LSN ${named.lsn}, which its floor keeps, is missing in ${run.frames.storeUrl}; restore the object from a copy of the store`,
        { details: { volume, lsn: named.lsn, key } },
      );
    }, key);
    if (loaded === undefined) continue;
    counts.checkpoints++;
    const { state } = stateOfCheckpoint(loaded);
    const done = await run.attempt(async () => {
      await move(run, sum, before, state);
      return true;
    });
    if (done === undefined) return undefined;
    before = state;
    counts.states++;
    if (sum.value() !== state.stateChecksum) run.report(wrongSum(run, loaded.checkpoint.commit, sum.value()));
    last = state;
  }
  return last?.lsn === start ? last : undefined;
}

/** Takes the digests of what differs in `from` away, and adds those of `to`. */
async function move(
  run: VerifyRun,
  sum: StateChecksumSum,
  from: { readonly table: PageTable; readonly pageCount: number },
  to: RemoteState,
): Promise<void> {
  const pages = differingPages(from.table, to.table, Math.max(from.pageCount, to.pageCount));
  for (let at = 0; at < pages.size; at += SLICE_PAGES) {
    const some = pages.slice(at, at + SLICE_PAGES);
    sum.subtract(await run.fetch(digestsOf(run.frames, from.table, some)));
    sum.add(await run.fetch(digestsOf(run.frames, to.table, some)));
  }
}
