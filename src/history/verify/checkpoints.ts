/** Checkpoints that headers or a floor name, against the page table that the commits up to there come to. */
import type { Hash, Lsn, VolumeId } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../base/errors.ts";
import { DIGEST_BYTES } from "../../format/hash.ts";
import { checkpointKey } from "../../format/keys.ts";
import type { ReadIndex } from "../../format/model.ts";
import { loadIndexes, type SegmentSource, sourceInCheckpoint } from "../../replicate/commit-lookup.ts";
import { loadDigestAreas } from "../../replicate/digests.ts";
import { loadCheckpoint } from "../../replicate/floor.ts";
import { lyingIndex } from "../../replicate/frame-plan.ts";
import type { LoadedCheckpoint } from "../../volume/loaded-checkpoint.ts";
import type { RemoteState } from "../../volume/remote-state.ts";
import type { DigestMemory } from "./digest-memory.ts";
import type { VerifyRun } from "./run.ts";
import { sameTables } from "./states.ts";

export interface CheckpointCounts {
  checkpoints: number;
  lostCheckpoints: number;
}

export class CheckpointCheck {
  readonly #run: VerifyRun;
  readonly #memory: DigestMemory;
  readonly #counts: CheckpointCounts;
  readonly #named = new Map<number, Set<Hash>>();

  constructor(run: VerifyRun, memory: DigestMemory, counts: CheckpointCounts) {
    this.#run = run;
    this.#memory = memory;
    this.#counts = counts;
    for (const { lsn, hash } of run.token.log.checkpoints) this.#name(lsn, hash);
    for (const { lsn, hash } of run.directory.floor(run.volume)?.checkpoints ?? []) this.#name(lsn, hash);
  }

  #name(lsn: number, hash: Hash): void {
    const hashes = this.#named.get(lsn);
    if (hashes === undefined) this.#named.set(lsn, new Set([hash]));
    else hashes.add(hash);
  }

  /** @param state as the commits say */
  async at(state: RemoteState): Promise<void> {
    for (const hash of this.#named.get(state.lsn) ?? []) {
      const key = checkpointKey(this.#run.directory.volumeOf(state.lsn), state.lsn, hash);
      await this.#run.attempt(() => this.#check(state, hash), key);
    }
  }

  async #check(state: RemoteState, hash: Hash): Promise<void> {
    const { directory, frames } = this.#run;
    const volume = directory.volumeOf(state.lsn);
    const loaded = await this.#run.fetch(loadCheckpoint(frames, { volume, lsn: state.lsn, hash }));
    if (loaded === undefined) {
      this.#counts.lostCheckpoints++;
      return;
    }
    this.#counts.checkpoints++;
    if (loaded.checkpoint.commit.hash !== state.hash)
      throw lie(volume, state.lsn, hash, "is of another commit");
    if (!sameTables(loaded.table, state.table, state.pageCount))
      throw lie(volume, state.lsn, hash, "does not say who wrote each page last");
    await this.#checkPlaces(loaded);
  }

  /** Undefined where the segment was collected, as only a checkpoint names it that no floor does: readers go on to the commits. */
  async #partsOf(
    source: SegmentSource,
    isKept: boolean,
  ): Promise<{ readonly index: ReadIndex; readonly digests: Uint8Array } | undefined> {
    const { frames } = this.#run;
    try {
      const index = (await this.#run.fetch(loadIndexes(frames, [source])))[0]!;
      return { index, digests: (await this.#run.fetch(loadDigestAreas(frames, [source])))[0]! };
    } catch (error) {
      if (!isKept && isPagefoldError(error, "corrupt") && error.details.gone === true) return undefined;
      throw error;
    }
  }

  /** Segments hold, of the pages that they are to be read from, what the commits wrote. */
  async #checkPlaces(loaded: LoadedCheckpoint): Promise<void> {
    const { volume, hash } = loaded.checkpoint;
    const floor = this.#run.directory.floor(volume);
    const isKept = floor?.checkpoints.some((each) => each.hash === hash) === true;
    await this.#run.each(loaded.checkpoint.segments, async (segment) => {
      const source = sourceInCheckpoint(loaded, segment);
      const parts = await this.#run.attempt(() => this.#partsOf(source, isKept));
      if (parts === undefined) return;
      for (const page of segment.pages) {
        const rank = parts.index.pages.rankOf(page);
        if (rank === -1) {
          this.#run.report(lyingIndex(source, page));
          continue;
        }
        const expected = this.#memory.get(page);
        const at = rank * DIGEST_BYTES;
        if (expected === undefined || expected.every((byte, i) => byte === parts.digests[at + i])) continue;
        this.#run.report(
          lie(
            volume,
            loaded.lsn,
            hash,
            `places page ${page} in segment ${segment.id}, which holds other bytes`,
          ),
        );
      }
    });
  }
}

function lie(volume: VolumeId, lsn: Lsn, hash: Hash, what: string): PagefoldError {
  return new PagefoldError(
    "corrupt",
    `the checkpoint of volume ${volume} at LSN ${lsn} ${what}; it was written wrongly: delete it, the log does without it where the retention has kept that`,
    { details: { volume, lsn, key: checkpointKey(volume, lsn, hash) } },
  );
}
