/** Who may write what compaction and collection write: whoever may push may compact, what gives up any of what was kept is the owner's. */
import type { ServerContext } from "./context.ts";
import type { NameOf } from "./object-keys.ts";
import type { Principal } from "./principal.ts";
import { checkClosing, checkFloor } from "./verify/floor.ts";
import { lie } from "./verify/lies.ts";
import { checkNext } from "./verify/small.ts";

/** That a floor is what it says, and is its sender's to make. Needs the volume's lock. @throws 422, 409, 403 */
export async function mayRaise(
  context: ServerContext,
  principal: Principal,
  name: NameOf<"floor">,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const { logs, access } = context;
  const known = await logs.find(name.volume, signal);
  if (known === undefined) {
    await access.check(principal, "admin", name.volume);
    await checkClosing(context, name, bytes, signal);
    return checkNext(context, name, signal);
  }
  const { keepsAll } = await checkFloor(context, known, name, bytes, signal);
  if (!keepsAll) await access.check(principal, "admin", name.volume);
}

/** A compaction begins under the newest floor, or under one that was the newest when it did. @throws 422 */
export async function checkCompaction(
  { logs }: ServerContext,
  { volume, id, n }: NameOf<"compacted">,
  signal: AbortSignal,
): Promise<void> {
  const known = await logs.volume(volume, signal);
  if (n <= (logs.directory(known).floorNumber(volume) ?? 0)) return;
  const newest = (await logs.floor(known, signal))?.n ?? 0;
  if (n <= newest) return;
  throw lie(
    `segment ${id} of volume ${volume}`,
    `there is no floor ${n}, under which it was made: the newest is ${newest}`,
  );
}
