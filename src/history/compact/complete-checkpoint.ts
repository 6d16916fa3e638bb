/**
 * Checkpoints of LSNs that are to be kept while their commits go: they place every page that the volume's own commits wrote. Nothing is registered here:
 * whoever keeps the LSN names the checkpoint in the floor that it creates.
 */
import type { Hash, Lsn } from "../../base/brand.ts";
import { PagefoldError, throwIfAborted } from "../../base/errors.ts";
import { encodeCheckpoint } from "../../format/checkpoint-codec.ts";
import { PLACES_ALL, PLACES_OWN } from "../../format/limits.ts";
import type { Floor, FloorCheckpoint } from "../../format/model.ts";
import { placedKey } from "../../replicate/commit-lookup.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { stateOf } from "../../replicate/past.ts";
import { commitHeaderOf, storeCheckpoint } from "./checkpoint.ts";
import { planLimits } from "./compact.ts";
import { deleteGarbage } from "./compacted-writer.ts";
import type { MoveSettings } from "./compaction-options.ts";
import { planStep } from "./compaction-plan.ts";
import { adoptSegments, placementUnder, withoutPages } from "./compaction-source.ts";
import { movePages } from "./move-pages.ts";
import { Pace } from "./pace.ts";

export interface CompleteOptions extends MoveSettings {
  /** Of the newest floor, under which the next is prepared; 0 where there is none. */
  readonly number: number;
  /**
   * Checkpoints that the floor in preparation will name, too: their segments serve here as well. Ask for LSNs in falling order: then what an older state reads
   * last lies in segments of its own, which go with it whole.
   */
  readonly reuse?: Iterable<Hash> | undefined;
}

export interface CompletedCheckpoint extends FloorCheckpoint {
  readonly pagesMoved: number;
  readonly bytesWritten: number;
}

/**
 * A checkpoint of the state at `lsn` that needs no commit up to it: the one that the floor names already, or a new one. Pages that no kept checkpoint
 * places are copied. A fork's goes on to find what it shares with its ancestors there.
 * @throws `conflict` where the floor is not `number` any more: begin again from the new one
 */
export async function completeCheckpointAt(
  context: ReplicaContext,
  lsn: Lsn,
  options: CompleteOptions,
): Promise<CompletedCheckpoint> {
  const { codecs, replica } = context;
  const { signal } = options;
  const state = await stateOf(context, lsn, signal === undefined ? {} : { signal });
  const also = new Set(options.reuse ?? []);
  const { floor, placement } = await placementUnder(context, state, { signal, also });
  if ((floor?.n ?? 0) !== options.number) throw overtaken(context, options.number, floor);
  const named = floor?.checkpoints.find((each) => each.lsn === lsn);
  const loaded = named && replica.directory.checkpoint(named.hash);
  const features = loaded?.checkpoint.features.compatible ?? 0;
  if (named !== undefined && (features & (PLACES_OWN | PLACES_ALL)) !== 0)
    return { ...named, pagesMoved: 0, bytesWritten: 0 };
  const garbage: string[] = [];
  try {
    let { fresh } = await adoptSegments(context, placement, floor, options);
    let pagesMoved = 0;
    let bytesWritten = 0;
    const limits = planLimits(context);
    const pace = new Pace(context.runtime, options.bytesPerSecond, signal);
    const onPages = (pages: number) => options.onPages?.(pages);
    const at = { number: options.number, classify: options.classify, pace, signal, onPages };
    const onSegment = () => options.onStep?.("segment-written");
    for (;;) {
      throwIfAborted(signal, "preparing a checkpoint");
      const plan = planStep({ ...fresh, segments: [], all: false }, limits);
      if (plan === undefined) break;
      const moved = await movePages(context, placement, plan, { ...at, onSegment });
      garbage.push(...moved.segments.map(placedKey));
      placement.knowZeroed(moved.zeroed);
      placement.move(moved.segments);
      const pages = plan.scattered.union(plan.sorted);
      fresh = withoutPages(fresh, pages);
      pagesMoved += pages.size - moved.zeroed.size;
      bytesWritten += moved.bytesWritten;
    }
    const header = await commitHeaderOf(context, state, { signal });
    const made = placement.checkpoint(replica.directory, header, options.number);
    const encoded = encodeCheckpoint(made, codecs.hash);
    const checkpoint = await storeCheckpoint(context, made, encoded, { signal });
    await options.onStep?.("checkpoint-written");
    // Whoever asks for the next LSN finds it loaded.
    replica.directory.learnCheckpoint(checkpoint);
    bytesWritten += encoded.bytes.length;
    return { lsn, time: state.time, hash: encoded.hash, pagesMoved, bytesWritten };
  } catch (error) {
    await deleteGarbage(context, garbage);
    throw error;
  }
}

function overtaken({ replica }: ReplicaContext, number: number, floor: Floor | undefined): PagefoldError {
  const { volume } = replica.manifest;
  return new PagefoldError(
    "conflict",
    `the floor of volume ${volume} moved from number ${number} to ${floor?.n ?? 0} while the next was prepared; run it again`,
    { details: { volume }, retryable: true },
  );
}
