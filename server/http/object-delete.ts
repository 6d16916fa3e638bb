/** Deleting on the object plane: an administrator's, but for segments that no commit names, which whoever gave up a push takes back. */
import { checkKey } from "../../src/remote/keys.ts";
import type { ServerContext } from "./context.ts";
import { type ObjectName, parseObjectKey } from "./object-keys.ts";
import type { Principal } from "./principal.ts";
import { HttpError } from "./problem.ts";
import { isNamed } from "./push-bundle.ts";

/** Keys of one request. */
export const DELETE_MAX = 1000;

/** Deletes keys, whether they are there or not. Rights are checked for all of them before anything is deleted. */
export async function deleteObjects(
  context: ServerContext,
  principal: Principal,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (keys.length > DELETE_MAX) {
    throw new HttpError(400, "invalid", `${keys.length} keys at once; send at most ${DELETE_MAX}`);
  }
  const names = keys.map((key) => {
    checkKey(key);
    return parseObjectKey(key);
  });
  // What is no key of the format is not there: nothing to do, as with any absent key.
  const known = names.filter((name) => name !== undefined);
  for (const name of known) await checkDelete(context, principal, name);
  if (known.length > 0) await context.writable();
  for (const name of known) await deleteOne(context, principal, name, signal);
}

async function checkDelete(context: ServerContext, principal: Principal, name: ObjectName): Promise<void> {
  if (name.kind === "tag") return context.access.checkTag(principal, "admin", name.tag);
  // Whether a segment may be deleted with less, its commit says.
  await context.access.check(principal, name.kind === "segment" ? "write" : "admin", name.volume);
}

async function deleteOne(
  context: ServerContext,
  principal: Principal,
  name: ObjectName,
  signal: AbortSignal,
): Promise<void> {
  const { access, store, logs, locks, events } = context;
  if (name.kind === "tag") {
    await store.delete([name.key], { signal });
    access.forgetTags();
    return;
  }
  const { volume } = name;
  await locks.run(volume, signal, async () => {
    if (name.kind === "segment") {
      const free = await access.allows(principal, "admin", volume);
      if (!free && (await isNamed(context, volume, name.lsn, name.key))) {
        throw new HttpError(
          403,
          "forbidden",
          `commit ${name.lsn} of volume ${volume} names ${name.key}: deleting it takes admin`,
          {
            details: { key: name.key },
          },
        );
      }
      context.verified.forget(name.key);
    }
    await store.delete([name.key], { signal });
  });
  if (name.kind === "manifest") events.gone(volume);
  if (name.kind === "manifest" || name.kind === "commit") logs.forget(volume);
}
