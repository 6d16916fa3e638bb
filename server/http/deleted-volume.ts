/** Volumes that were deleted and are collected for what their forks do not need: they have no manifest, but the value that says so keeps it. */
import type { VolumeId } from "../../src/base/brand.ts";
import { decodeManifest } from "../../src/format/manifest-codec.ts";
import { forkPoint } from "../../src/format/model.ts";
import { lastDeletion } from "../../src/history/delete/deleted.ts";
import type { ServerContext } from "./context.ts";
import type { Principal } from "./principal.ts";
import { type KnownVolume, noVolume, signalOf } from "./volume-logs.ts";

/** Undefined where nothing says that there was such a volume. */
export async function findDeleted(
  { origin, codecs }: Pick<ServerContext, "origin" | "codecs">,
  volume: VolumeId,
  signal?: AbortSignal,
): Promise<KnownVolume | undefined> {
  const last = await lastDeletion(origin, codecs, volume, signalOf(signal));
  if (last === undefined) return undefined;
  const manifest = decodeManifest(last.manifest, { volume, hasher: codecs.hash });
  return { manifest, hash: codecs.hash.blake3(last.manifest), forkPoint: forkPoint(manifest) };
}

/** The volume that a compaction or a collection works on: of a deleted one, its administrator's. @throws 404, 403 */
export async function volumeToKeep(
  context: ServerContext,
  principal: Principal,
  volume: VolumeId,
  signal: AbortSignal,
): Promise<KnownVolume> {
  const known = await context.logs.find(volume, signal);
  if (known !== undefined) return known;
  await context.access.check(principal, "admin", volume);
  const deleted = await findDeleted(context, volume, signal);
  if (deleted === undefined) throw noVolume(volume);
  return deleted;
}
