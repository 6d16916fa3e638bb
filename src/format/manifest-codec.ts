/**
 * `volumes/<volume>/manifest`, created once per volume (FORMAT.md, "Manifest"). All integers little-endian.
 *
 *      0   4  "PFMF"        24   4  compatible features     44   1  digest algorithm
 *      4   2  version       28   4  incompatible features   45  16  digest seed
 *      6   2  zero          32   8  created, ms             61   …  ancestors: varint count, each {volume 16, varint LSN}
 *      8  16  volume        40   4  page size                …      encryption: varint length, bytes; then the extension area
 *
 * Its hash, which stands for LSN 0 in parent and jump hashes, is BLAKE3-256 of all its bytes. A fork's stands nowhere, so that a fork proves
 * itself (compatible bit 0): its extension area is {hash of the commit at the fork point 32, check 16 of all bytes before}.
 */
import { assert } from "../base/assert.ts";
import { type Hash, isPageSize, type Lsn, type TimeMs, type VolumeId } from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { ByteReader, ByteWriter, concatBytes, equalBytes, fromHex, toHex } from "./bytes.ts";
import {
  checkLimit,
  readExtension,
  readFeatures,
  readMagic,
  writeExtension,
  writeFeatures,
  writeMagic,
} from "./features.ts";
import { DIGEST_SEED_BYTES, HASH_BYTES, type Hasher } from "./hash.ts";
import { ID_BYTES, idFromBytes, idToBytes } from "./ids.ts";
import { FORK_PROOF, LIMITS } from "./limits.ts";
import type { Manifest } from "./model.ts";

const MAGIC = "PFMF";
/** BLAKE3 keyed by the seed, truncated to 128 bits. */
export const DIGEST_ALGORITHM_BLAKE3 = 1;
const CHECK_BYTES = 16;
const PROOF_BYTES = HASH_BYTES + CHECK_BYTES;

/** `hasher` is needed for a fork that proves itself. */
export function encodeManifest(manifest: Manifest, hasher?: Hasher): Uint8Array {
  assert(isPageSize(manifest.pageSize), `a page size of ${manifest.pageSize}`);
  assert(manifest.digestSeed.length === DIGEST_SEED_BYTES, "a digest seed of 16 bytes");
  assert(manifest.ancestors.length <= LIMITS.ancestors, "a bounded chain of forks");
  assert(
    manifest.features.incompatible === 0 && manifest.encryption.length === 0,
    "features of this version",
  );
  const { forkHash } = manifest;
  const proves = hasBit(manifest);
  assert(proves === (forkHash !== undefined), "a fork's hash and the feature bit that announces it");
  assert(!proves || manifest.ancestors.length > 0, "a fork with ancestors");
  const writer = new ByteWriter();
  writeMagic(writer, MAGIC);
  writer.u16(0).bytes(idToBytes(manifest.volume));
  writeFeatures(writer, manifest.features);
  writer
    .u64(manifest.createdAt)
    .u32(manifest.pageSize)
    .u8(manifest.digestAlgorithm)
    .bytes(manifest.digestSeed);
  writer.varint(manifest.ancestors.length);
  for (const { volume, lsn } of manifest.ancestors) writer.bytes(idToBytes(volume)).varint(lsn);
  writer.varint(manifest.encryption.length).bytes(manifest.encryption);
  writeExtension(writer, proves ? PROOF_BYTES : 0);
  checkLimit(writer.length + (proves ? PROOF_BYTES : 0), LIMITS.manifestBytes, "the manifest");
  if (forkHash === undefined) return writer.finish();
  assert(hasher !== undefined, "a hasher for a fork that proves itself");
  const proven = writer.bytes(fromHex(forkHash)).finish();
  return concatBytes([proven, fromHex(hasher.frameHash(proven))]);
}

/** Whether the extension area begins with the proof of a fork. */
function hasBit({ features }: Pick<Manifest, "features">): boolean {
  return features.compatible % 2 === FORK_PROOF;
}

/**
 * Throws `corrupt` or `unsupported_version`.
 * @param expect.volume whose manifest it must be
 * @param expect.hasher also checks that a fork's manifest is as it was written, where it says so itself: no other object does
 */
export function decodeManifest(
  bytes: Uint8Array,
  expect: { readonly volume?: VolumeId; readonly hasher?: Hasher } = {},
): Manifest {
  const details: ErrorDetails = expect.volume === undefined ? {} : { volume: expect.volume };
  const reader: ByteReader = new ByteReader(bytes, "a manifest", details);
  reader.check(bytes.length <= LIMITS.manifestBytes, "it is too large");
  readMagic(reader, MAGIC, "a manifest", details);
  reader.check(reader.u16("reserved bytes") === 0, "reserved bytes are not zero");
  const volume = idFromBytes<VolumeId>(reader.bytes(ID_BYTES, "the volume"));
  reader.check(expect.volume === undefined || volume === expect.volume, `it belongs to volume ${volume}`);
  const features = readFeatures(reader, "a manifest", { volume });
  const createdAt = reader.u64("the time") as TimeMs;
  const pageSize = reader.u32("the page size");
  reader.check(isPageSize(pageSize), `a page size of ${pageSize}`);
  const digestAlgorithm = reader.u8("the digest algorithm");
  reader.check(digestAlgorithm === DIGEST_ALGORITHM_BLAKE3, `digest algorithm ${digestAlgorithm}`);
  const digestSeed = reader.bytes(DIGEST_SEED_BYTES, "the digest seed").slice();
  const ancestors = readAncestors(reader, volume);
  const encryption = reader.bytes(reader.varint("encryption parameters", 0), "encryption parameters").slice();
  const extension = readExtension(reader, features);
  reader.end();
  const facts = { volume, features, createdAt, pageSize, digestSeed, digestAlgorithm, ancestors, encryption };
  if (!hasBit(facts)) return facts;
  reader.check(ancestors.length > 0, "a proof of a fork without ancestors");
  reader.check(
    features.compatible === FORK_PROOF ? extension.length === PROOF_BYTES : extension.length >= PROOF_BYTES,
    `the proof of a fork in ${extension.length} bytes`,
  );
  const checkAt = bytes.length - extension.length + HASH_BYTES;
  if (expect.hasher !== undefined) {
    const check = fromHex(expect.hasher.frameHash(bytes.subarray(0, checkAt)));
    const found = bytes.subarray(checkAt, checkAt + CHECK_BYTES);
    reader.check(equalBytes(check, found), "it does not match its own check");
  }
  return { ...facts, forkHash: toHex(bytes, checkAt - HASH_BYTES, checkAt) as Hash };
}

function readAncestors(reader: ByteReader, volume: VolumeId): Manifest["ancestors"] {
  const count = reader.varint("the number of ancestors", LIMITS.ancestors);
  const ancestors: { volume: VolumeId; lsn: Lsn }[] = [];
  const seen = new Set<string>([volume]);
  for (let i = 0; i < count; i++) {
    const ancestor = idFromBytes<VolumeId>(reader.bytes(ID_BYTES, "an ancestor"));
    const lsn = reader.varint("the LSN of a fork") as Lsn;
    reader.check(!seen.has(ancestor), `volume ${ancestor} is its own ancestor`);
    reader.check(lsn >= 1, "a fork at LSN 0");
    const younger = ancestors[i - 1];
    reader.check(younger === undefined || lsn <= younger.lsn, "fork points rise towards older ancestors");
    seen.add(ancestor);
    ancestors.push({ volume: ancestor, lsn });
  }
  return ancestors;
}
