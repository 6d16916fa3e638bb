/**
 * What a sweep must leave alone, told by the floors in force: the checkpoints that they name, and the segments that those name. A checkpoint that cannot
 * be read ends the sweep before it deletes anything, as nobody knows what it protects.
 */
import type { Hash, Lsn } from "../../base/brand.ts";
import { PagefoldError, throwIfAborted } from "../../base/errors.ts";
import { type DecodedCheckpoint, decodeCheckpoint } from "../../format/checkpoint-codec.ts";
import { checkpointKey } from "../../format/keys.ts";
import type { Floor } from "../../format/model.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { placesAllOf } from "../../volume/loaded-checkpoint.ts";
import { type SegmentName, SegmentNames } from "./segment-names.ts";

type Signal = { readonly signal?: AbortSignal };

export class Protection {
  /** Keys of the checkpoints that the floors name. */
  readonly checkpoints = new Set<string>();
  /** Every state that is kept up to a floor is read from the volume's own objects alone: ancestors are not needed for it. */
  independent = true;
  readonly #context: ReplicaContext;
  readonly #signal: Signal;
  readonly #segments = new SegmentNames();
  /** Of `checkpoints`: those that are not there, and those that need ancestors. */
  readonly #lost = new Set<string>();
  readonly #shared = new Set<string>();
  /** Commits whose segments stay, as states that have no checkpoint yet show them. */
  readonly #writers = new Set<number>();

  private constructor(context: ReplicaContext, signal: Signal) {
    this.#context = context;
    this.#signal = signal;
  }

  static async by(
    context: ReplicaContext,
    floors: readonly Pick<Floor, "lsn" | "checkpoints">[],
    signal: Signal,
  ): Promise<Protection> {
    const protection = new Protection(context, signal);
    for (const floor of floors) await protection.#addFloor(floor);
    protection.#segments.seal();
    return protection;
  }

  /** Whether a checkpoint places pages in the segment. */
  keeps(segment: SegmentName): boolean {
    return this.#segments.has(segment) || (segment.kind === "commit" && this.#writers.has(segment.number));
  }

  /** For a forecast: the segments of a commit stay, as a state shows them. */
  addWriter(lsn: number): void {
    this.#writers.add(lsn);
  }

  async #addFloor({ lsn: floor, checkpoints }: Pick<Floor, "lsn" | "checkpoints">): Promise<void> {
    const { volume } = this.#context.replica.manifest;
    for (const { lsn, hash } of checkpoints) {
      const key = checkpointKey(volume, lsn, hash);
      if (!this.checkpoints.has(key)) {
        this.checkpoints.add(key);
        const checkpoint = await this.#load({ lsn, hash, key });
        if (checkpoint === undefined) this.#lost.add(key);
        else this.#addNames(checkpoint);
        if (checkpoint === undefined || !placesAllOf(checkpoint, false)) this.#shared.add(key);
      }
      // Those above are there to open from: what they place, commits and the floor's own have, too.
      if (lsn > floor) continue;
      if (this.#lost.has(key)) throw missing(this.#context, lsn, key);
      if (this.#shared.has(key)) this.independent = false;
    }
  }

  /** Not learned by the volume's directory: each is looked at once, and there may be hundreds. */
  async #load({
    lsn,
    hash,
    key,
  }: {
    readonly lsn: Lsn;
    readonly hash: Hash;
    readonly key: string;
  }): Promise<DecodedCheckpoint | undefined> {
    const { replica, remote, codecs } = this.#context;
    const { volume } = replica.manifest;
    throwIfAborted(this.#signal.signal, `collecting volume ${volume}`);
    const bytes = await remote.get(key, this.#signal);
    return bytes === undefined ? undefined : decodeCheckpoint(bytes, codecs.hash, { volume, lsn, hash });
  }

  #addNames({ segments, volume }: DecodedCheckpoint): void {
    for (const segment of segments) if (segment.volume === volume) this.#segments.add(segment);
  }
}

function missing({ replica, remote }: ReplicaContext, lsn: Lsn, key: string): PagefoldError {
  const { volume } = replica.manifest;
  return new PagefoldError(
    "corrupt",
    `the checkpoint at LSN ${lsn} that the floor of volume ${volume} names is missing in ${remote.url}; nothing was deleted: restore the object from a copy of the store`,
    { details: { volume, lsn, key } },
  );
}
