/** Who may write what compaction and collection write: whoever may push may compact, what gives up any of what was kept is the owner's. */
import { decodeFloor } from "../../src/format/floor-codec.ts";
import type { ServerContext } from "./context.ts";
import { volumeToKeep } from "./deleted-volume.ts";
import type { NameOf } from "./object-keys.ts";
import type { Principal } from "./principal.ts";
import { checkClosing, checkFloor } from "./verify/floor.ts";
import { decoding, lie } from "./verify/lies.ts";
import { checkNext } from "./verify/small.ts";
import type { KnownVolume } from "./volume-logs.ts";

/** That a floor is what it says, and is its sender's to make. Needs the volume's lock. @throws 422, 409, 403 */
export async function mayRaise(
  context: ServerContext,
  principal: Principal,
  name: NameOf<"floor">,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const { access, codecs, logs } = context;
  const { volume, n } = name;
  const what = `floor ${n} of volume ${volume}`;
  const { closed } = decoding(what, () => decodeFloor(bytes, codecs.hash, { volume, n }));
  if (closed && (await logs.find(volume, signal)) === undefined) {
    await access.check(principal, "admin", volume);
    await checkClosing(context, name, signal);
    return checkNext(context, name, signal);
  }
  const known = await volumeToKeep(context, principal, volume, signal);
  const { right } = await checkFloor(context, known, name, bytes, signal);
  await access.check(principal, right, volume);
}

/** A compaction begins under the newest floor, or under one that was the newest when it did. @throws 422 */
export async function checkCompaction(
  { logs }: ServerContext,
  known: KnownVolume,
  { volume, id, n }: NameOf<"compacted">,
  signal: AbortSignal,
): Promise<void> {
  if (n <= (logs.directory(known).floorNumber(volume) ?? 0)) return;
  const newest = (await logs.floor(known, signal))?.n ?? 0;
  if (n <= newest) return;
  throw lie(
    `segment ${id} of volume ${volume}`,
    `there is no floor ${n}, under which it was made: the newest is ${newest}`,
  );
}
