/**
 * The disk tier of the server's cache: the slots of `src/local/disk-tier.ts`, checksummed there, in two sizes, for whole blocks and for what is
 * small. Only segments come here: their names are random, so that a directory that outlives a restored store can never answer for another one.
 *
 * A slot:
 *
 *     0  4  length of the bytes
 *     4  4  zero
 *     8  8  size of the whole object, a float64; -1 where unknown
 *    16  …  the bytes, then zeros
 *
 * A block is identified by 84 bits of the key's BLAKE3 and its number, from 1 on.
 */
import type { Recorder } from "../../../src/base/recorder.ts";
import type { Hasher } from "../../../src/format/hash.ts";
import type { BlockFileSystem } from "../../../src/local/block-file.ts";
import { DiskTier } from "../../../src/local/disk-tier.ts";
import { NONE } from "../../../src/local/slot-table.ts";

const HEAD_BYTES = 16;
const SMALL_BYTES = 16 * 1024;
/** Share of the disk that is for what is small. */
const SMALL_SHARE = 1 / 8;

export interface DiskBlocksOptions {
  readonly files: BlockFileSystem;
  readonly bytes: number;
  readonly blockBytes: number;
  readonly hash: Hasher;
  readonly recorder: Recorder;
}

export interface DiskBlock {
  readonly bytes: Uint8Array;
  /** Of the whole object. */
  readonly size: number | undefined;
}

export class DiskBlocks {
  readonly #hash: Hasher;
  readonly #tiers: readonly { readonly tier: DiskTier; readonly slotBytes: number }[];
  readonly #scratch: Uint8Array;
  #closed = false;

  static async open(options: DiskBlocksOptions): Promise<DiskBlocks> {
    const { files, hash, recorder, bytes } = options;
    const open = async (slotBytes: number, share: number) => ({
      slotBytes,
      tier: await DiskTier.open({
        files,
        pageSize: slotBytes,
        bytes: Math.floor(bytes * share),
        xxh64: hash,
        recorder,
        inUse: () => false,
      }),
    });
    const small = await open(SMALL_BYTES + HEAD_BYTES, SMALL_SHARE);
    try {
      const large = await open(options.blockBytes + HEAD_BYTES, 1 - SMALL_SHARE);
      return new DiskBlocks(hash, [small, large]);
    } catch (error) {
      await small.tier.close();
      throw error;
    }
  }

  private constructor(
    hash: Hasher,
    tiers: readonly { readonly tier: DiskTier; readonly slotBytes: number }[],
  ) {
    this.#hash = hash;
    this.#tiers = tiers;
    this.#scratch = new Uint8Array(Math.max(...tiers.map(({ slotBytes }) => slotBytes)));
  }

  /** Verified bytes of a block, the caller's own. */
  get(key: string, number: number): DiskBlock | undefined {
    if (this.#closed) return undefined;
    const { low, high } = this.#identity(key);
    for (const { tier, slotBytes } of this.#tiers) {
      const slot = tier.table.find(low, number + 1, high);
      if (slot === NONE) continue;
      const stored = this.#scratch.subarray(0, slotBytes);
      if (!tier.read(slot, stored)) continue;
      tier.table.touch(slot);
      const view = new DataView(stored.buffer, stored.byteOffset, HEAD_BYTES);
      const length = view.getUint32(0, true);
      const size = view.getFloat64(8, true);
      if (length > slotBytes - HEAD_BYTES) continue;
      return {
        bytes: stored.slice(HEAD_BYTES, HEAD_BYTES + length),
        size: size < 0 ? undefined : size,
      };
    }
    return undefined;
  }

  put(key: string, number: number, bytes: Uint8Array, size: number | undefined): void {
    if (this.#closed) return;
    const place = this.#tiers.find(({ slotBytes }) => bytes.length + HEAD_BYTES <= slotBytes);
    if (place === undefined) return;
    const { low, high } = this.#identity(key);
    if (place.tier.table.find(low, number + 1, high) !== NONE) return;
    const stored = this.#scratch.subarray(0, place.slotBytes);
    stored.fill(0);
    const view = new DataView(stored.buffer, stored.byteOffset, HEAD_BYTES);
    view.setUint32(0, bytes.length, true);
    view.setFloat64(8, size ?? -1, true);
    stored.set(bytes, HEAD_BYTES);
    place.tier.put(low, number + 1, high, stored, false);
  }

  /** @param blocks how many blocks the object may have */
  forget(key: string, blocks: number): void {
    if (this.#closed) return;
    const { low, high } = this.#identity(key);
    for (const { tier } of this.#tiers) {
      for (let number = 0; number < blocks; number++) {
        const slot = tier.table.find(low, number + 1, high);
        if (slot !== NONE) tier.remove(slot);
      }
    }
  }

  get count(): number {
    return this.#tiers.reduce((sum, { tier }) => sum + tier.table.count, 0);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const { tier } of this.#tiers) {
      tier.flush();
      await tier.close();
    }
  }

  /** What the slot tables know an object by: a volume's handle and an LSN, there. */
  #identity(key: string): { readonly low: number; readonly high: number } {
    const hash = this.#hash.blake3(utf8.encode(key));
    return { low: Number.parseInt(hash.slice(0, 8), 16), high: Number.parseInt(hash.slice(8, 21), 16) };
  }
}

const utf8 = new TextEncoder();
