/** What differs between two states of a volume, told by its rollups: no page is read. */
import type { Lsn } from "../../../src/base/brand.ts";
import { PageSet } from "../../../src/format/page-set.ts";
import { rollupPages } from "../../../src/format/rollup-codec.ts";
import type { ServerContext } from "../context.ts";
import { HttpError } from "../problem.ts";
import { type KnownVolume, noCommit } from "../volume-logs.ts";

export interface Diff {
  readonly from: Lsn;
  readonly to: Lsn;
  /** At `to`: pages above it are gone. */
  readonly pageCount: number;
  /** Written, zeroed or cut off and grown again since `from`. */
  readonly pages: PageSet;
}

/** @throws 404 beyond the newest commit, 400 where `from` is behind `to` */
export async function diffOf(
  { logs }: ServerContext,
  known: KnownVolume,
  from: Lsn,
  to: Lsn,
  signal: AbortSignal,
): Promise<Diff> {
  if (from > to)
    throw new HttpError(400, "invalid", `a difference goes forward: from ${from} to ${to} it does not`);
  const head = await logs.head(known, signal);
  if (to > head) throw noCommit(known.manifest.volume, to);
  if (to === 0) return { from, to, pageCount: 0, pages: PageSet.empty };
  const [before, after] = await Promise.all([
    from === 0 ? 0 : logs.commit(known, from, signal).then(({ header }) => header.pageCount),
    logs.commit(known, to, signal).then(({ header }) => header.pageCount),
  ]);
  const steps = await logs.way(known, { lsn: from }, to, signal);
  const rollups = steps.flatMap((step) => step.rollups);
  const lowest = Math.min(before, after, ...rollups.map(({ lowestPageCount }) => lowestPageCount));
  const regrown = PageSet.range(lowest + 1, Math.min(before, after));
  const pages = PageSet.unionAll([...rollups.map(rollupPages), regrown]).clampTo(after);
  return { from, to, pageCount: after, pages };
}

/** As JSON has it. */
export function rangesOf(pages: PageSet): [number, number][] {
  return [...pages.runs()].map(({ first, last }) => [first, last]);
}
