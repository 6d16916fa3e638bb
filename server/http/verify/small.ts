/** Checks of the small objects that the object plane takes: manifests, values of series, bands stored apart, head hints, pins. */
import { type Hash, LSN_ZERO, type Lsn, type VolumeId } from "../../../src/base/brand.ts";
import { isPagefoldError } from "../../../src/base/errors.ts";
import { ByteReader, equalBytes } from "../../../src/format/bytes.ts";
import { decodeConfig } from "../../../src/format/config-codec.ts";
import { decodeDeleted } from "../../../src/format/deleted-codec.ts";
import { HASH_BYTES } from "../../../src/format/hash.ts";
import { decodeHeadHint } from "../../../src/format/head-codec.ts";
import { trailingPowers } from "../../../src/format/jumps.ts";
import { configKey, deletedKey, floorKey, forkKey, leaseKey, manifestKey } from "../../../src/format/keys.ts";
import { decodeLease } from "../../../src/format/lease-codec.ts";
import { decodeManifest } from "../../../src/format/manifest-codec.ts";
import { forkPoint, type Manifest } from "../../../src/format/model.ts";
import { readPageSet } from "../../../src/format/page-set-codec.ts";
import { decodeRollup } from "../../../src/format/rollup-codec.ts";
import { decodeTag } from "../../../src/format/tag-codec.ts";
import { ancestorsAt } from "../../../src/history/fork/fork.ts";
import type { ServerContext } from "../context.ts";
import { commitOrKept } from "../kept-commit.ts";
import type { NameOf, SeriesKind } from "../object-keys.ts";
import { HttpError } from "../problem.ts";
import { type KnownVolume, signalOf } from "../volume-logs.ts";
import { decoding, lie } from "./lies.ts";

/** @throws 422 */
export function checkManifest({ codecs }: ServerContext, volume: VolumeId, bytes: Uint8Array): Manifest {
  return decoding(`the manifest of volume ${volume}`, () =>
    decodeManifest(bytes, { volume, hasher: codecs.hash }),
  );
}

/**
 * That the manifest of a fork continues its parent's, and that the pin which keeps the shared commits is there.
 * @throws 422
 */
export async function checkFork(context: ServerContext, fork: Manifest, signal?: AbortSignal): Promise<void> {
  const [direct] = fork.ancestors;
  if (direct === undefined) return;
  const what = `the manifest of fork ${fork.volume}`;
  const parent = await context.logs.find(direct.volume, signal);
  if (parent === undefined) throw lie(what, `there is no volume ${direct.volume}`);
  const { manifest } = parent;
  if (fork.pageSize !== manifest.pageSize || !equalBytes(fork.digestSeed, manifest.digestSeed)) {
    throw lie(what, "page size and digest seed are not its parent's");
  }
  const expected = ancestorsAt(manifest, direct.lsn);
  const same =
    expected.length === fork.ancestors.length &&
    expected.every(({ volume, lsn }, i) => {
      const named = fork.ancestors[i]!;
      return named.volume === volume && named.lsn === lsn;
    });
  if (!same) throw lie(what, "its ancestors are not those of its parent");
  if (direct.lsn > (await context.logs.head(parent, signal))) {
    throw lie(what, `volume ${direct.volume} has no commit ${direct.lsn}`);
  }
  if (fork.forkHash !== (await hashAt(context, what, parent, direct.lsn, signal)))
    throw lie(what, `commit ${direct.lsn} of its parent is another than the one it names`);
  const pin = await context.origin.get(forkKey(direct.volume, fork.volume, direct.lsn), signalOf(signal));
  if (pin === undefined) throw lie(what, "its pin is not there; create that first");
  // Asked anew, after the pin: a deletion of the parent that did not see the pin has taken its manifest away.
  const [still] = await context.origin.list(manifestKey(direct.volume), { limit: 1, ...signalOf(signal) });
  if (still === undefined) throw lie(what, `volume ${direct.volume} was deleted meanwhile`);
}

/** The hash of a commit, however it is kept. @throws 422 where it is not */
async function hashAt(
  context: ServerContext,
  what: string,
  known: KnownVolume,
  lsn: Lsn,
  signal: AbortSignal | undefined,
): Promise<Hash> {
  try {
    return (await commitOrKept(context, known, lsn, signal)).hash;
  } catch (error) {
    if (!isPagefoldError(error, "not_found")) throw error;
    throw lie(what, `commit ${lsn} of its parent was collected, and nothing keeps its state`);
  }
}

/** @throws 422 */
export function checkTagValue(
  { codecs }: ServerContext,
  { tag, key }: NameOf<"tag">,
  bytes: Uint8Array,
): VolumeId | undefined {
  return decoding(`a value of tag ${tag}`, () => decodeTag(bytes, codecs.hash, { tag, key })).volume;
}

/** That a head hint is one, and tells of a commit that exists. @throws 422 */
export async function checkHint(
  context: ServerContext,
  { volume }: NameOf<"head">,
  bytes: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  const lsn = decodeHeadHint(bytes);
  const what = `the head hint of volume ${volume}`;
  if (lsn === undefined) throw lie(what, "it is no hint");
  const known = await context.logs.volume(volume, signal);
  if (lsn > (await context.logs.head(known, signal))) throw lie(what, `there is no commit ${lsn}`);
}

/** A pin is empty, and pins commits that exist. @throws 422 */
export async function checkPin(
  context: ServerContext,
  { volume, fork, lsn }: NameOf<"pin">,
  bytes: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  const what = `the pin of fork ${fork} in volume ${volume}`;
  if (bytes.length !== 0) throw lie(what, `it has ${bytes.length} bytes, and must have none`);
  const known = await context.logs.volume(volume, signal);
  if (lsn > (await context.logs.head(known, signal))) throw lie(what, `there is no commit ${lsn}`);
}

/** The pin of a restore is empty, and made for the commit to come, or for one that came meanwhile. @throws 422 */
export async function checkRestorePin(
  context: ServerContext,
  { volume, lsn, from }: NameOf<"restore">,
  bytes: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  const what = `the pin of a restore of volume ${volume} to LSN ${from}`;
  if (bytes.length !== 0) throw lie(what, `it has ${bytes.length} bytes, and must have none`);
  if (from >= lsn) throw lie(what, `commit ${lsn} cannot restore a later state`);
  const known = await context.logs.volume(volume, signal);
  const head = await context.logs.head(known, signal);
  if (lsn > head + 1) throw lie(what, `commit ${lsn} is not the next one: the newest is ${head}`);
}

/** A value of a series goes behind the one before it: a gap would hide it, and all after it. @throws 409 */
export async function checkNext(
  { origin }: ServerContext,
  { kind, volume, n }: { readonly kind: SeriesKind; readonly volume: VolumeId; readonly n: number },
  signal?: AbortSignal,
): Promise<void> {
  if (n === 1 || (await origin.get(SERIES_KEY[kind](volume, n - 1), signalOf(signal))) !== undefined) return;
  throw new HttpError(
    409,
    "conflict",
    `value ${n} of the ${kind} of volume ${volume} has to wait: there is no value ${n - 1}`,
    { details: { volume, n } },
  );
}

const SERIES_KEY = { floor: floorKey, config: configKey, deleted: deletedKey, lease: leaseKey } as const;

/** @throws 422 */
export function checkConfig(
  { codecs }: ServerContext,
  { volume, n }: NameOf<"config">,
  bytes: Uint8Array,
): void {
  decoding(`the settings of volume ${volume}`, () => decodeConfig(bytes, codecs.hash, { volume, n }));
}

/** That it is a value of the series, and what it keeps is the volume's manifest. @throws 422 */
export function checkDeleted(
  context: ServerContext,
  { volume, key }: NameOf<"deleted">,
  bytes: Uint8Array,
): void {
  const what = `a deletion of volume ${volume}`;
  const { manifest } = decoding(what, () => decodeDeleted(bytes, context.codecs.hash, { volume, key }));
  checkManifest(context, volume, manifest);
}

/** @throws 422 */
export function checkLease(
  { codecs }: ServerContext,
  { volume, key }: NameOf<"lease">,
  bytes: Uint8Array,
): void {
  decoding(`a lease of volume ${volume}`, () => decodeLease(bytes, codecs.hash, { volume, key }));
}

/** That bands stored apart decode. Whether they are the right ones, the commit says; until then they are a cache of nothing. @throws 422 */
export function checkRollup({ volume, lsn }: NameOf<"rollup">, bytes: Uint8Array): void {
  const what = `the rollup of commit ${lsn} of volume ${volume}`;
  const bands = decoding(what, () => splitBands(bytes));
  const powers = trailingPowers(lsn);
  if (bands.length === 0 || bands.length > powers) {
    throw lie(what, `${bands.length} bands, where a commit ${lsn} has ${powers}`);
  }
  // Which run each covers, only the commit says: it may have fewer bands than its LSN could carry.
  for (const band of bands) {
    decoding(what, () => decodeRollup(band, { from: LSN_ZERO, to: (lsn - 1) as Lsn }));
  }
}

/** Bands back to back, told apart by reading through them: nothing but the commit says how long each is. */
function splitBands(bytes: Uint8Array): Uint8Array[] {
  const bands: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const rest = bytes.subarray(at);
    const reader: ByteReader = new ByteReader(rest, "a band", {});
    reader.u8("its mark");
    reader.varint("the lowest page count");
    const writers = reader.varint("the number of writers", rest.length);
    for (let i = 0; i < writers; i++) {
      reader.varint("a writer's LSN");
      reader.bytes(HASH_BYTES, "a writer's hash");
      readPageSet(reader);
    }
    const length = rest.length - reader.remaining;
    bands.push(rest.subarray(0, length));
    at += length;
  }
  return bands;
}

/** The ancestors whose pages a volume shows: who makes it must be allowed to read them. */
export function sharedVolumes(manifest: Manifest): readonly VolumeId[] {
  return forkPoint(manifest) === 0 ? [] : manifest.ancestors.map(({ volume }) => volume);
}
