/** What differs between two states of a volume, as the engine's own comparison tells: no page is read. */
import type { Lsn } from "../../../src/base/brand.ts";
import { isPagefoldError } from "../../../src/base/errors.ts";
import type { PageSet } from "../../../src/format/page-set.ts";
import { type DiffSource, diffOf, type StateDiff } from "../../../src/history/travel/diff.ts";
import type { ServerContext } from "../context.ts";
import { HttpError } from "../problem.ts";
import { type KnownVolume, noCommit } from "../volume-logs.ts";

/**
 * @param exact compares digests, too
 * @throws 404 beyond the newest commit, or for a state that is not kept; 400 where `from` is behind `to`
 */
export async function diffBetween(
  context: ServerContext,
  known: KnownVolume,
  between: { readonly from: Lsn; readonly to: Lsn; readonly exact: boolean },
  signal: AbortSignal,
): Promise<StateDiff> {
  const { from, to, exact } = between;
  if (from > to)
    throw new HttpError(400, "invalid", `a difference goes forward: from ${from} to ${to} it does not`);
  if (to > (await context.logs.head(known, signal))) throw noCommit(known.manifest.volume, to);
  return diffOf(sourceOf(context, known, signal), from, to, { exact, signal });
}

function sourceOf(
  { logs, codecs, store }: ServerContext,
  known: KnownVolume,
  signal: AbortSignal,
): DiffSource {
  return {
    frames: { directory: logs.directory(known), codecs, storeUrl: store.url },
    shape: async (lsn) => {
      try {
        return (await logs.commit(known, lsn, signal)).header;
      } catch (error) {
        // Collected: a checkpoint may keep the state.
        if (!isPagefoldError(error, "not_found")) throw error;
        return logs.state(known, lsn, signal);
      }
    },
    way: (from, to) => logs.way(known, { lsn: from }, to, signal),
    state: (lsn) => logs.state(known, lsn, signal),
    run: (plan) => logs.fetcher.run(plan, signal),
  };
}

/** As JSON has it. */
export function rangesOf(pages: PageSet): [number, number][] {
  return [...pages.runs()].map(({ first, last }) => [first, last]);
}
