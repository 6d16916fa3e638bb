/** The tags of a store as what deletes and undeletes volumes sees them. */
import type { Runtime } from "../base/runtime.ts";
import type { Codecs } from "../format/codecs.ts";
import type { VolumeTags } from "../history/delete/delete-volume.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import { listTags, removeTag, setTag } from "./tag-verbs.ts";

export function volumeTags(
  store: ObjectStore,
  codecs: Codecs,
  runtime: Runtime,
  options: { readonly signal?: AbortSignal } = {},
): VolumeTags {
  return {
    async of(volume) {
      const tags = await listTags(store, codecs, options);
      return tags.filter((entry) => entry.volume === volume).map(({ tag }) => tag);
    },
    give: (tag, volume) => setTag(store, codecs, runtime, tag, volume, undefined, options),
    async remove(tag, volume) {
      await removeTag(store, codecs, runtime, tag, volume, options);
    },
  };
}
