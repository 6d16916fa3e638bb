/** Creating, forking, naming and deleting volumes: the engine's own verbs, run over the server's store for as long as one takes. */
import type { Lsn, VolumeId } from "../../../src/base/brand.ts";
import { isPagefoldError } from "../../../src/base/errors.ts";
import { checkTagName, manifestKey } from "../../../src/format/keys.ts";
import {
  type DeletionContext,
  deleteVolume,
  type UndeleteResult,
  undeleteVolume,
} from "../../../src/history/delete/delete-volume.ts";
import type { ObjectStore } from "../../../src/remote/object-store.ts";
import { PageStore } from "../../../src/store/page-store.ts";
import { removeTag, setTag } from "../../../src/store/tag-verbs.ts";
import { resolveTag } from "../../../src/store/tags.ts";
import { volumeTags } from "../../../src/store/volume-tags.ts";
import type { ServerContext } from "../context.ts";
import { HttpError } from "../problem.ts";
import { signalOf } from "../volume-logs.ts";

/** Page bytes that the engine may keep meanwhile. */
const ENGINE_BYTES = 2 ** 20;

/** Runs work with an engine of its own, which knows nothing when it begins and leaves nothing when it ends. */
async function withEngine<T>(context: ServerContext, work: (engine: PageStore) => Promise<T>): Promise<T> {
  await context.writable();
  const { codecs, runtime } = context;
  const remote = engineStore(context.store);
  const engine = await PageStore.open({ remote, codecs, runtime, settings: { memoryBytes: ENGINE_BYTES } });
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}

/** The server's store, which outlives the engine, and was found out to honour conditional creation. */
function engineStore(store: ObjectStore): ObjectStore {
  return {
    url: store.url,
    capabilities: { ...store.capabilities, conditionalCreate: "yes" },
    get: (key, options) => store.get(key, options),
    put: (key, body, options) => store.put(key, body, options),
    list: (prefix, options) => store.list(prefix, options),
    delete: (keys, options) => store.delete(keys, options),
    close: async () => {},
  };
}

export async function createVolume(
  context: ServerContext,
  options: { readonly tag: string | undefined; readonly pageSize: number | undefined },
  signal: AbortSignal,
): Promise<VolumeId> {
  const { tag, pageSize } = options;
  if (tag !== undefined) await checkFree(context, tag, signal);
  return withEngine(context, async (engine) => {
    const volume = await engine.createVolume({ signal, ...(pageSize === undefined ? {} : { pageSize }) });
    if (tag === undefined) return volume.id;
    try {
      await engine.tag(tag, volume.id, { signal });
    } catch (error) {
      // Another took the name meanwhile: nobody knows of this volume.
      if (isPagefoldError(error, "conflict")) await context.store.delete([manifestKey(volume.id)]);
      throw error;
    }
    context.access.forgetTags();
    return volume.id;
  });
}

export async function forkVolume(
  context: ServerContext,
  volume: VolumeId,
  options: { readonly tag: string | undefined; readonly lsn: number | undefined },
  signal: AbortSignal,
): Promise<{ readonly volume: VolumeId; readonly lsn: Lsn }> {
  const { tag, lsn } = options;
  if (tag !== undefined) await checkFree(context, tag, signal);
  return withEngine(context, async (engine) => {
    const fork = await engine.fork(volume, {
      signal,
      ...(tag === undefined ? {} : { tag }),
      ...(lsn === undefined ? {} : { lsn }),
    });
    context.access.forgetTags();
    return { volume: fork.id, lsn: fork.status().lsn };
  });
}

/** @param from what the tag may name now, besides nothing and the volume itself. @throws `conflict` */
export async function giveTag(
  { origin, codecs, runtime, access, writable }: ServerContext,
  tag: string,
  volume: VolumeId,
  from: VolumeId | undefined,
  signal: AbortSignal,
): Promise<void> {
  await writable();
  await setTag(origin, codecs, runtime, tag, volume, from, { signal });
  access.forgetTags();
}

/** @throws `not_found` */
export async function takeTag(context: ServerContext, tag: string, signal: AbortSignal): Promise<void> {
  const { origin, codecs, runtime, access } = context;
  await context.writable();
  const removed = await removeTag(origin, codecs, runtime, tag, undefined, { signal });
  access.forgetTags();
  if (!removed) throw noTag(tag);
}

/** @param purge deletes its objects at once: @throws `conflict` while forks need them */
export async function dropVolume(
  context: ServerContext,
  volume: VolumeId,
  options: { readonly confirm: string; readonly purge: boolean },
  signal: AbortSignal,
): Promise<void> {
  const { access, events, logs, locks } = context;
  await context.writable();
  await locks.run(volume, signal, async () => {
    // Begun, it is finished: what is half deleted is of use to nobody.
    await deleteVolume(deletionOf(context), volume, options);
    logs.forget(volume);
  });
  access.forgetTags();
  events.gone(volume);
}

/** Puts a deleted volume back. @throws `not_found` */
export async function restoreVolume(
  context: ServerContext,
  volume: VolumeId,
  options: { readonly tags: boolean },
  signal: AbortSignal,
): Promise<UndeleteResult> {
  const { access, logs, locks } = context;
  await context.writable();
  const result = await locks.run(volume, signal, async () => {
    const undeleted = await undeleteVolume(deletionOf(context), volume, options);
    logs.forget(volume);
    return undeleted;
  });
  access.forgetTags();
  return result;
}

/** Whether there is a volume is asked of the store itself: another server may have deleted it. */
function deletionOf({ store, origin, codecs, runtime }: ServerContext): DeletionContext {
  const asked: ObjectStore = { ...engineStore(store), get: (key, options) => origin.get(key, options) };
  return { store: asked, codecs, runtime, tags: volumeTags(origin, codecs, runtime) };
}

export function noTag(tag: string): HttpError {
  return new HttpError(404, "not_found", `there is no tag ${tag} here, or you may not see it`, {
    details: { tag },
  });
}

async function checkFree({ origin, codecs }: ServerContext, tag: string, signal: AbortSignal): Promise<void> {
  const named = await resolveTag(origin, codecs, checkTagName(tag), signalOf(signal));
  if (named === undefined) return;
  throw new HttpError(
    409,
    "conflict",
    `tag "${tag}" names a volume already; choose another, or remove it first`,
    {
      details: { tag },
    },
  );
}
