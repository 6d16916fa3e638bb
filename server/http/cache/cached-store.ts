/** What a cache can be told, and what a store with one can do beside the contract: answer without a copy, and say what it knows. */
import type { Recorder } from "../../../src/base/recorder.ts";
import type { Hasher } from "../../../src/format/hash.ts";
import type { BlockFileSystem } from "../../../src/local/block-file.ts";
import type { GetOptions, ObjectStore } from "../../../src/remote/object-store.ts";
import type { CachedObject } from "./memory-blocks.ts";

export interface CacheOptions {
  /** Upper bound of the memory tier; default 256 MiB. */
  readonly memoryBytes?: number;
  /** Bytes per block; default 256 KiB. */
  readonly blockBytes?: number;
  /** A second tier, for segments. */
  readonly disk?: { readonly files: BlockFileSystem; readonly bytes: number; readonly hash: Hasher };
  readonly recorder?: Recorder;
  /** Which keys name objects that never change; default: those of the format. */
  readonly isImmutable?: (key: string) => boolean;
}

export interface CacheStats {
  readonly memoryBytes: number;
  readonly memoryBlocks: number;
  readonly diskBlocks: number;
  readonly evictions: number;
}

/** A store with a cache, and ways to its bytes without a copy. */
export interface CachedStore extends ObjectStore {
  /** What memory knows of an object; undefined where that is nothing. */
  peek(key: string): CachedObject | undefined;
  /** Shared bytes of a range that lies in memory whole: not to be changed. Undefined where it does not. */
  view(object: CachedObject, offset: number, length: number): Uint8Array | undefined;
  /** As `get`, but the bytes are shared: not to be changed. */
  read(key: string, range: GetOptions["range"], signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** Bytes of an object, undefined where there is none. */
  sizeOf(key: string, signal?: AbortSignal): Promise<number | undefined>;
  /** Lets go of everything in memory whose key begins so: the store may say something else now. */
  forgetAll(prefix: string): void;
  stats(): CacheStats;
}
