/**
 * Compaction of a volume's data: many small segments become few large ones, in steps. A step writes segments, then a checkpoint that places pages in them,
 * and counts from the moment that the next floor names it; whoever creates that floor first wins, and what the other wrote is garbage. Commits, pushes and
 * readers go on meanwhile: nothing that they use is changed or deleted here. What a step moves is decided in `compaction-plan.ts`.
 */
import { LSN_ZERO, type SegmentId } from "../../base/brand.ts";
import { PagefoldError, throwIfAborted } from "../../base/errors.ts";
import { encodeCheckpoint, segmentPages } from "../../format/checkpoint-codec.ts";
import { StateChecksumSum } from "../../format/checksum.ts";
import { checkpointKey } from "../../format/keys.ts";
import { type Floor, type FloorCheckpoint, forkPoint } from "../../format/model.ts";
import { PageSet } from "../../format/page-set.ts";
import { assertWritable } from "../../remote/writable.ts";
import { placedKey } from "../../replicate/commit-lookup.ts";
import { confirmBase } from "../../replicate/confirm.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { checkpointUpTo } from "../../replicate/floor.ts";
import { checkState } from "../../replicate/hydrate.ts";
import { stateOf } from "../../replicate/past.ts";
import type { RemoteState } from "../../volume/remote-state.ts";
import { raiseFloor } from "../keep/floors.ts";
import { type CheckpointName, commitHeaderOf, storeCheckpoint } from "./checkpoint.ts";
import { anchor } from "./checkpoint-after-push.ts";
import { deleteGarbage, framePagesOf, fullSegmentPages } from "./compacted-writer.ts";
import type { CompactionPoint, CompactionResult, CompactOptions } from "./compaction-options.ts";
import { type PlanInput, type PlanLimits, pagesToMove, planStep, type StepPlan } from "./compaction-plan.ts";
import { adoptSegments, type FreshPages, placementUnder, withoutPages } from "./compaction-source.ts";
import { movePages } from "./move-pages.ts";
import { Pace } from "./pace.ts";
import type { Placement } from "./placement.ts";

const STEP_BYTES = 2 ** 30;
/** Pages of small commits that are held in memory. */
const HELD_BYTES = 64 * 2 ** 20;
/** How often another may create the floor first. */
const MOST_LOST = 16;
const DEAD_FRACTION = 3 / 8;
const FANOUT = 8;

/** What this volume is compacted by, unless the caller says otherwise. */
export function planLimits(context: ReplicaContext, stepBytes = STEP_BYTES): PlanLimits {
  const { pageSize } = context.replica.manifest;
  return {
    fullPages: fullSegmentPages(pageSize, framePagesOf(context)),
    deadFraction: DEAD_FRACTION,
    fanout: FANOUT,
    stepPages: Math.max(1, Math.floor(stepBytes / pageSize)),
    heldPages: Math.max(1, Math.floor(HELD_BYTES / pageSize)),
  };
}

/**
 * Puts the pages of a state in order, and answers when the last step is registered. Running it again goes on where it was cut off; what a step that was
 * cut off had written is garbage, which a collection finds.
 * @throws `conflict` where the retention does not keep the state any more, or others keep being faster; `diverged` where the store lost the history that
 * the replica stands on
 */
export async function compactVolume(
  context: ReplicaContext,
  options: CompactOptions = {},
): Promise<CompactionResult> {
  for (const name of ["bytesPerSecond", "stepBytes"] as const) {
    const value = options[name];
    if (value !== undefined && !(value > 0))
      throw new PagefoldError("invalid", `${name} is a number of bytes above 0, not ${value}`);
  }
  await assertWritable(context.remote, context.runtime);
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const { base } = context.replica.state;
  const state = options.to === undefined ? base : await stateOf(context, options.to, signal);
  return new Compaction(context, state, options).run();
}

/** Where a compaction stands between two steps. */
interface Standing {
  readonly floor: Floor | undefined;
  readonly placement: Placement;
  fresh: FreshPages;
  /** Some segments of commits got places that no checkpoint names so far. */
  adopted: boolean;
}

class Compaction {
  readonly #context: ReplicaContext;
  readonly #state: RemoteState;
  readonly #options: CompactOptions;
  readonly #limits: PlanLimits;
  readonly #pace: Pace;
  /** Written in this run, to stay. */
  readonly #settled = new Set<SegmentId>();
  #header: Uint8Array | undefined;
  #checkpoint: CheckpointName | undefined;
  #steps = 0;
  #pagesMoved = 0;
  #pagesTotal = 0;
  #bytesRead = 0;
  #freshBytes = 0;
  #bytesWritten = 0;
  /** Of everything that was moved to stay; tells something where that was every page of the state, once. */
  readonly #sum = new StateChecksumSum();
  #lost = 0;

  constructor(context: ReplicaContext, state: RemoteState, options: CompactOptions) {
    this.#context = context;
    this.#state = state;
    this.#options = options;
    this.#limits = planLimits(context, options.stepBytes);
    this.#pace = new Pace(context.runtime, options.bytesPerSecond, options.signal);
  }

  async run(): Promise<CompactionResult> {
    if (this.#state.lsn === 0) return this.#result(undefined, undefined);
    let standing = await this.#stand();
    const before = standing.placement.figures();
    if (standing.floor === undefined || this.#state.lsn >= standing.floor.lsn)
      await confirmBase(this.#context, signalOf(this.#options));
    standing = await this.#adopt(standing);
    for (;;) {
      throwIfAborted(this.#options.signal, "a compaction");
      const input = this.#input(standing);
      this.#pagesTotal = Math.max(this.#pagesTotal, this.#pagesMoved + pagesToMove(input, this.#limits));
      const plan = planStep(input, this.#limits);
      if (plan === undefined && !this.#mustRegister(standing)) break;
      const floor = await this.#step(standing, plan ?? NOTHING);
      if (floor !== undefined) {
        standing = { ...standing, floor, adopted: false };
        if (plan === undefined) break;
      } else if (++this.#lost === MOST_LOST) {
        throw this.#outrun();
      } else {
        standing = await this.#adopt(await this.#stand());
      }
    }
    this.#checkSum();
    this.#checkpoint ??= checkpointUpTo(standing.floor, this.#state.lsn);
    return this.#result(before, standing.placement.figures());
  }

  async #stand(): Promise<Standing> {
    const found = await placementUnder(this.#context, this.#state, this.#options);
    return { ...found, fresh: { scattered: new Map(), sorted: PageSet.empty }, adopted: false };
  }

  async #adopt(standing: Standing): Promise<Standing> {
    const { floor, placement } = standing;
    const { fresh, adoptedBytes } = await adoptSegments(this.#context, placement, floor, this.#options);
    this.#freshBytes += adoptedBytes;
    return { ...standing, fresh, adopted: adoptedBytes > 0 };
  }

  #input({ placement, fresh }: Standing): PlanInput {
    const segments = placement.segments().filter(({ id }) => !this.#settled.has(id));
    return {
      ...fresh,
      segments: segments.map((segment) => ({ held: segmentPages(segment), live: segment.pages })),
      all: this.#options.all === true,
    };
  }

  /** Whether a checkpoint is due though no page moves. */
  #mustRegister({ floor, adopted }: Standing): boolean {
    if (adopted) return true;
    const named = floor?.checkpoints.some(({ lsn }) => lsn === this.#state.lsn) === true;
    return this.#options.complete === true && !named;
  }

  /** Answers the floor that counts now, or undefined where another was faster. */
  async #step(standing: Standing, plan: StepPlan): Promise<Floor | undefined> {
    const { placement, floor } = standing;
    await this.#at("planned");
    const done = this.#pagesMoved;
    const moved = await movePages(this.#context, placement, plan, {
      number: floor?.n ?? 0,
      classify: this.#options.classify,
      pace: this.#pace,
      signal: this.#options.signal,
      onSegment: () => this.#at("segment-written"),
      onPages: (pages) => {
        this.#pagesMoved += pages;
        this.#options.onProgress?.(this.#pagesMoved, Math.max(this.#pagesMoved, this.#pagesTotal));
      },
    });
    this.#bytesRead += moved.bytesRead;
    this.#bytesWritten += moved.bytesWritten;
    placement.knowZeroed(moved.zeroed);
    placement.move(moved.segments);
    standing.fresh = withoutPages(standing.fresh, plan.scattered.union(plan.sorted));
    const next = await this.#register(placement, floor, moved.segments.map(placedKey));
    if (next === undefined) {
      this.#pagesMoved = done;
      return undefined;
    }
    this.#steps++;
    this.#freshBytes += moved.scatteredBytes;
    if (plan.settled) {
      for (const { id } of moved.segments) this.#settled.add(id);
      this.#sum.addValue(moved.sum);
    }
    await this.#at("registered");
    return next;
  }

  /** @param keys of the segments that were written for it */
  async #register(
    placement: Placement,
    floor: Floor | undefined,
    keys: readonly string[],
  ): Promise<Floor | undefined> {
    const { replica, codecs } = this.#context;
    const { directory } = replica;
    const { volume, lsn, time } = { ...this.#state, volume: placement.volume };
    let garbage = keys;
    try {
      this.#header ??= await commitHeaderOf(this.#context, this.#state, this.#options);
      const made = placement.checkpoint(directory, this.#header, floor?.n ?? 0);
      const encoded = encodeCheckpoint(made, codecs.hash);
      const { hash, bytes } = encoded;
      // One that names no segment of its own may be another's, too, who may have registered it.
      if (keys.length > 0) garbage = [...keys, checkpointKey(volume, lsn, hash)];
      const checkpoint = await storeCheckpoint(this.#context, made, encoded, this.#options);
      this.#bytesWritten += bytes.length;
      await this.#at("checkpoint-written");
      // From here on it may be there, whatever the answer is.
      const unknown = garbage;
      garbage = [];
      const checkpoints = withCheckpoint(floor, { lsn, time, hash });
      const raising = { lsn: floor?.lsn ?? LSN_ZERO, checkpoints };
      const next = await raiseFloor(this.#context, floor, raising, signalOf(this.#options));
      if (next !== undefined) {
        const replaced = floor?.checkpoints.find((each) => each.lsn === lsn && each.hash !== hash);
        if (replaced !== undefined) directory.dropCheckpoint(replaced.hash);
        directory.learnCheckpoint(checkpoint);
        directory.learnFloor(next);
        this.#checkpoint = { lsn, hash };
        anchor(this.#context, this.#checkpoint);
        return next;
      }
      await deleteGarbage(this.#context, unknown);
      return undefined;
    } catch (error) {
      await deleteGarbage(this.#context, garbage);
      throw error;
    }
  }

  /** Whoever has rewritten a whole state has proved it, too. @throws `corrupt` */
  #checkSum(): void {
    const { all, own } = this.#options;
    const whole =
      all === true && this.#lost === 0 && (own === true || forkPoint(this.#context.replica.manifest) === 0);
    if (whole) checkState(this.#context, this.#state.lsn, this.#sum.value(), this.#state.stateChecksum);
  }

  async #at(point: CompactionPoint): Promise<void> {
    await this.#options.onStep?.(point);
  }

  #outrun(): PagefoldError {
    const { volume } = this.#context.replica.manifest;
    return new PagefoldError(
      "conflict",
      `others moved the floor of volume ${volume} ${MOST_LOST} times while a step of this compaction was under way; ${this.#steps} steps are done: run it again when they have ended, or with smaller steps`,
      { details: { volume, lsn: this.#state.lsn }, retryable: true },
    );
  }

  #result(before: Figures | undefined, after: Figures | undefined): CompactionResult {
    const fresh = this.#freshBytes;
    return {
      lsn: this.#state.lsn,
      steps: this.#steps,
      checkpoint:
        this.#checkpoint === undefined
          ? undefined
          : { lsn: this.#checkpoint.lsn, hash: this.#checkpoint.hash },
      pagesMoved: this.#pagesMoved,
      bytesRead: this.#bytesRead,
      freshBytes: fresh,
      bytesWritten: this.#bytesWritten,
      segmentsBefore: before?.segments ?? 0,
      segmentsAfter: after?.segments ?? 0,
      deadBytesBefore: before?.deadBytes ?? 0,
      deadBytesAfter: after?.deadBytes ?? 0,
      writeAmplification: fresh === 0 ? undefined : (fresh + this.#bytesWritten) / fresh,
    };
  }
}

type Figures = ReturnType<Placement["figures"]>;

const NOTHING: StepPlan = { scattered: PageSet.empty, sorted: PageSet.empty, settled: true };

function signalOf({ signal }: CompactOptions): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** Rising; of one LSN the new one alone. Above the floor it takes the place of older ones: were these named on, what it superseded would never be freed. */
function withCheckpoint(floor: Floor | undefined, checkpoint: FloorCheckpoint): FloorCheckpoint[] {
  const lowest = floor?.lsn ?? LSN_ZERO;
  const others = (floor?.checkpoints ?? []).filter(
    ({ lsn }) => lsn > checkpoint.lsn || (lsn <= lowest && lsn !== checkpoint.lsn),
  );
  return [...others, checkpoint].sort((a, b) => a.lsn - b.lsn);
}
