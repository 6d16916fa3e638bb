/**
 * What a decoder accepts at most, and the feature bits that this version understands (FORMAT.md, "Limits" and "Versions"). Sizes
 * claimed by stored bytes are checked against these before anything is allocated. Lowering a limit is a format change.
 */
const KiB = 1024;
const MiB = 1024 * KiB;

export const LIMITS = {
  /** Header of a commit, without its 32-byte prefix. */
  commitHeaderBytes: 64 * MiB,
  /** All bands that ride along in a commit; also the most that one `rollups/` object holds. */
  commitBandsBytes: 256 * MiB,
  /** Inline area of a commit. */
  inlineAreaBytes: 16 * MiB,
  /** A segment object as stored. */
  segmentStoredBytes: 80 * MiB,
  /** The pages of one segment, uncompressed. */
  segmentRawBytes: 64 * MiB,
  /** The pages of one frame, uncompressed: also the largest page size. */
  frameRawBytes: 1 * MiB,
  /** Read index of one segment. */
  readIndexBytes: 16 * MiB,
  /** Segments named by one commit. */
  segmentsPerCommit: 1_000_000,
  /** A checkpoint as stored. */
  checkpointBytes: 256 * MiB,
  /** Checkpoints that one floor names. */
  floorCheckpoints: 65_536,
  /** The settings of a volume, as JSON. */
  configBytes: 64 * KiB,
  manifestBytes: 1 * MiB,
  /** Depth of a chain of forks. */
  ancestors: 4096,
  /** Bytes of a header or manifest set aside for compatible features of later versions. */
  extensionBytes: 1 * MiB,
} as const;

/** The one version that this code writes, and the newest that it reads, of every object. */
export const FORMAT_VERSION = 1;

/** Compatible feature bit of manifests: the extension area begins with the proof of a fork. */
export const FORK_PROOF = 1;

/**
 * Compatible feature bits of checkpoints: a page that is listed and has no place is all zeros. The first says so of pages that the volume's own
 * commits wrote, the second of those that an ancestor's did, too.
 */
export const PLACES_OWN = 1;
export const PLACES_ALL = 2;

/** Incompatible feature bit of commits: the header names the LSN whose state it restores, and old writers of restored pages. */
export const RESTORED = 4;

/** Incompatible feature bit of commits: the header says how many bands it has, fewer than its LSN could carry. */
export const SHORT_BANDS = 8;

/** Incompatible feature bits of commits that this version understands (bit 0, encryption, and bit 1, page deltas, are reserved). */
export const KNOWN_INCOMPATIBLE = RESTORED | SHORT_BANDS;
