/**
 * The values that the format stores, as the rest of the engine sees them. FORMAT.md says how each becomes bytes; the codecs
 * beside this file do it. Values are immutable once made.
 */
import {
  type FrameHash,
  type Hash,
  LSN_ZERO,
  type Lsn,
  type PageCount,
  type PageIdx,
  type PushId,
  type SegmentId,
  type StateChecksum,
  type TimeMs,
  type VolumeId,
} from "../base/brand.ts";
import type { PageSet } from "./page-set.ts";

/** Feature bits. A reader refuses (`unsupported_version`) unknown incompatible bits and ignores unknown compatible ones. */
export interface FeatureBits {
  /** 32-bit mask. */
  readonly compatible: number;
  /** 32-bit mask; of commits: restored pages (bit 2), short bands (bit 3); reserved: encryption (bit 0), page deltas (bit 1). */
  readonly incompatible: number;
}

/** `volumes/<volume>/manifest`, created once. Its hash stands for LSN 0 in parent and jump hashes. */
export interface Manifest {
  readonly volume: VolumeId;
  readonly features: FeatureBits;
  readonly createdAt: TimeMs;
  readonly pageSize: number;
  /** 16 bytes; inherited by forks, so that equal pages have equal digests in a whole family. */
  readonly digestSeed: Uint8Array;
  /** 1 = BLAKE3 keyed by the seed, truncated to 128 bits. */
  readonly digestAlgorithm: number;
  /** Of a fork: parent first, then its parent …; empty otherwise. LSNs <= lsn live under that volume. */
  readonly ancestors: readonly Ancestor[];
  /** Of a fork (compatible bit 0): the hash of the commit at its fork point, `ancestors[0].lsn`. */
  readonly forkHash?: Hash;
  /** Opaque, empty while the encryption feature is off. */
  readonly encryption: Uint8Array;
}

export interface Ancestor {
  readonly volume: VolumeId;
  readonly lsn: Lsn;
}

/** The last LSN that a volume shares with its ancestors; 0 where it has none. */
export function forkPoint(manifest: Manifest): Lsn {
  return manifest.ancestors[0]?.lsn ?? LSN_ZERO;
}

/** A half-open place within an object: `offset` from the start of that object. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** Where one segment of a commit is and what proves it. */
export interface SegmentRef {
  /** `undefined`: the segment's bytes are the frame area of the commit object itself. */
  readonly id: SegmentId | undefined;
  readonly firstPage: PageIdx;
  readonly lastPage: PageIdx;
  /** Size of the whole segment object (or of the inline area), bytes. */
  readonly length: number;
  /** Read index: offset from the start of the segment (of the inline area, when inline). */
  readonly index: Extent;
  readonly indexHash: Hash;
  /** Digest area, likewise. */
  readonly digests: Extent;
  readonly digestsHash: Hash;
}

/** One band as the header names it. Band j (1-based position in `bands`) covers (lsn - 2^j, lsn - 2^(j-1)]. */
export interface BandRef {
  readonly length: number;
  readonly hash: Hash;
  /** True: the bytes are in `rollups/<~lsn>` rather than in the commit object. Apart bands are always the oldest ones. */
  readonly apart: boolean;
}

export interface CommitHeader {
  readonly volume: VolumeId;
  readonly lsn: Lsn;
  readonly features: FeatureBits;
  /**
   * hashes[j] is the hash of commit lsn - 2^j, for every 2^j that divides lsn, or for the smaller ones of these (feature bit 3); hashes[0] is
   * the parent; LSN 0 = manifest.
   */
  readonly jumpHashes: readonly Hash[];
  readonly pageSize: number;
  readonly pageCount: PageCount;
  /** The lowest page count passed through since the parent (including this one's): older pages above it are gone. */
  readonly lowestPageCount: PageCount;
  /** Exact length in bytes: in (pageCount - 1) * pageSize < byteLength <= pageCount * pageSize, or 0 with no page. */
  readonly byteLength: number;
  /** Pages whose bytes are in the segments. Disjoint from `zeroed`. */
  readonly changed: PageSet;
  /** Pages that became all zeros: no bytes are stored. */
  readonly zeroed: PageSet;
  /** The LSN whose state this commit restores, as far as it says (feature bit 2); below `lsn`. */
  readonly restoredFrom: Lsn | undefined;
  /**
   * Pages that go back to what older commits wrote, after the cut to `lowestPageCount`: newest first, LSNs <= restoredFrom. Page sets disjoint from one
   * another and from `changed` and `zeroed`.
   */
  readonly restored: readonly PageWriter[];
  /** Never before the parent's. */
  readonly time: TimeMs;
  readonly pushId: PushId;
  readonly stateChecksum: StateChecksum;
  /** Newest checkpoint known to the writer. */
  readonly checkpoint: { readonly lsn: Lsn; readonly hash: Hash } | undefined;
  /** Sorted by firstPage, page ranges disjoint. */
  readonly segments: readonly SegmentRef[];
  /** One per jump hash but the first, newest first. */
  readonly bands: readonly BandRef[];
}

/** Merged changes of the commits in (from, to]: which commit wrote each surviving page last. */
export interface Rollup {
  /** Exclusive. */
  readonly from: Lsn;
  /** Inclusive. */
  readonly to: Lsn;
  /** Lowest page count passed through in the interval: pages above it written at or before `from` are gone. */
  readonly lowestPageCount: PageCount;
  /**
   * Only commits with at least one surviving page; newest first; page sets disjoint. One at or below `from` wrote pages that a commit of the
   * interval restored.
   */
  readonly writers: readonly PageWriter[];
}

/** Pages that one commit wrote last, in a rollup, a restore or a checkpoint. */
export interface PageWriter {
  readonly lsn: Lsn;
  /**
   * Of the commit; undefined where whoever wrote this down did not know it. The commit may be gone then, and its pages have places in a checkpoint that the
   * floor names.
   */
  readonly hash: Hash | undefined;
  /** Changed or zeroed there, and by no later commit of what this is part of. */
  readonly pages: PageSet;
}

/** A segment object as a checkpoint names it, and the pages that are to be read from it. */
export interface PlacedSegment {
  /** Under whose prefix it lies. */
  readonly volume: VolumeId;
  /** `commit`: in `segments/`, `number` is the LSN of its commit; `compacted`: in `compacted/`, `number` is that of a floor. */
  readonly kind: "commit" | "compacted";
  readonly number: number;
  readonly id: SegmentId;
  readonly ref: SegmentRef;
  readonly pages: PageSet;
}

/** `volumes/<volume>/checkpoints/<~lsn>-<hash>`: the whole page table as of an LSN (FORMAT.md, "Checkpoint"). */
export interface Checkpoint {
  readonly volume: VolumeId;
  readonly features: FeatureBits;
  /** Number of the floor that held when it was made, 0 where there was none: as long as that holds, it may still be named. */
  readonly madeUnder: number;
  /** Prefix and header of the commit at that LSN, as stored. */
  readonly header: Uint8Array;
  /** Of every page that was written and not cut off; newest first, LSNs falling, page sets disjoint. */
  readonly writers: readonly PageWriter[];
  /** Places of pages; sets disjoint, all of them pages of `writers`. Pages without one are read from their writer's commit. */
  readonly segments: readonly PlacedSegment[];
}

/** One checkpoint as a floor names it. */
export interface FloorCheckpoint {
  readonly lsn: Lsn;
  /** The commit's. */
  readonly time: TimeMs;
  /** Of the checkpoint's bytes. */
  readonly hash: Hash;
}

/** `volumes/<volume>/floor/<~n>`: what is kept of a volume's history (FORMAT.md, "Floor"). The newest wins. */
export interface Floor {
  readonly volume: VolumeId;
  readonly n: number;
  /** The volume is being deleted for good, or was: nothing of it may be relied on, and no commit of it is acknowledged any more. */
  readonly closed?: boolean;
  /** It is about to be raised, to keep less: who wants to rely on what it keeps makes the next floor first, which says the same without this. */
  readonly raising?: boolean;
  /** Commits below it may be gone; 0: none is. Where it is not 0, a checkpoint at this LSN is among `checkpoints`. */
  readonly lsn: Lsn;
  /** When it was made. */
  readonly time: TimeMs;
  /** LSNs rising. Those up to `lsn` place every page. */
  readonly checkpoints: readonly FloorCheckpoint[];
}

/** How a frame's bytes are compressed. */
export type FrameCodec = "raw" | "deflate-raw" | "zstd";

/** One frame as the read index lists it, with its place already added up. */
export interface FrameRef {
  /** From the start of the segment (of the inline area, when inline). */
  readonly offset: number;
  readonly length: number;
  readonly codec: FrameCodec;
  readonly hash: FrameHash;
}

/**
 * A segment's read index, decoded. Page with rank r in `pages` is in frame floor(r / framePages), at slot r mod framePages;
 * so is its digest: 16 bytes at 16 * r of the digest area.
 */
export interface ReadIndex {
  readonly pageSize: number;
  /** Pages per frame; the last frame may hold fewer. */
  readonly framePages: number;
  readonly pages: PageSet;
  readonly frameCount: number;
  frame(i: number): FrameRef;
}
