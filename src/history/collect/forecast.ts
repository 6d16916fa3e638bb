/**
 * What a collection will delete once its floor is made and the grace period has passed, told without writing anything. Checkpoints that are still to be made
 * are stood for by the commits whose pages they will show: a compaction may copy some of these together, and free more.
 */
import type { Lsn, TimeMs } from "../../base/brand.ts";
import type { FloorCheckpoint } from "../../format/model.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { stateOf } from "../../replicate/past.ts";
import { floorsInForce } from "../keep/floors.ts";
import { keptBy, type Raised } from "../keep/raise-floor.ts";
import { Protection } from "./protect.ts";

interface Moment {
  readonly now: number;
  readonly graceMs: number;
  readonly signal?: AbortSignal;
}

export async function forecast(context: ReplicaContext, { floor, plan }: Raised, moment: Moment) {
  const signal = moment.signal === undefined ? {} : { signal: moment.signal };
  const known = new Map(keptBy(floor).map((each) => [each.lsn, each]));
  const checkpoints = plan.kept
    .map(({ lsn }) => known.get(lsn))
    .filter((each): each is FloorCheckpoint => each !== undefined);
  const above = floor?.checkpoints.filter(({ lsn }) => lsn > plan.floor) ?? [];
  const protection = await Protection.by(
    context,
    [{ lsn: plan.floor, checkpoints: [...checkpoints, ...above] }],
    signal,
  );
  const isNew = plan.floor !== (floor?.lsn ?? 0) || plan.dropped.length > 0;
  for (const { lsn } of plan.kept) {
    if (known.has(lsn)) continue;
    const { table, pageCount } = await stateOf(context, lsn, signal);
    for (const run of table.runs(1, pageCount)) protection.addWriter(run.value);
    protection.independent = false;
  }
  const { nextAt } = await floorsInForce(context, floor, moment);
  return {
    lowest: plan.floor as Lsn,
    newestFloor: (floor?.n ?? 0) + (isNew ? 1 : 0),
    protection,
    moreAt: isNew ? ((moment.now + moment.graceMs) as TimeMs) : nextAt,
  };
}
