/**
 * Who may see and do what: principals know volumes and tags, so that here the tags of a volume are looked up (a map with a short life), and
 * whoever may read a fork may read what it shares with its ancestors. What one may not see is answered exactly as what does not exist.
 */
import type { Lsn, VolumeId } from "../../src/base/brand.ts";
import type { Runtime } from "../../src/base/runtime.ts";
import type { Codecs } from "../../src/format/codecs.ts";
import { parseId, parseVolumeId } from "../../src/format/ids.ts";
import {
  checkTagName,
  commitsPrefix,
  forksPrefix,
  parseComplement,
  parseTagKey,
  tagsPrefix,
} from "../../src/format/keys.ts";
import { decodeTag } from "../../src/format/tag-codec.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { resolveTag } from "../../src/store/tags.ts";
import type { Principal, Right } from "./principal.ts";
import { HttpError } from "./problem.ts";
import { noVolume, signalOf } from "./volume-logs.ts";

/** What tags name, as of one moment. */
export interface TagMap {
  /** In the order of their names. */
  readonly volumes: ReadonlyMap<string, VolumeId>;
  readonly tags: ReadonlyMap<VolumeId, readonly string[]>;
}

const NO_TAGS: readonly string[] = [];
const PAGE = 1000;
/** How deep a chain of forks is followed for the right to read its origin. */
const FORK_DEPTH = 8;

export class Access {
  readonly #store: ObjectStore;
  readonly #codecs: Codecs;
  readonly #runtime: Runtime;
  readonly #lifeMs: number;
  #map: { readonly value: Promise<TagMap>; readonly at: number } | undefined;
  /** Decoded values by key: a value never changes, so that a refresh reads only new ones. */
  #values = new Map<string, VolumeId | undefined>();

  constructor(store: ObjectStore, codecs: Codecs, runtime: Runtime, lifeMs: number) {
    this.#store = store;
    this.#codecs = codecs;
    this.#runtime = runtime;
    this.#lifeMs = lifeMs;
  }

  /** What tags name, as of at most the life of the map ago. */
  tagMap(): Promise<TagMap> {
    const now = this.#runtime.monotonic();
    if (this.#map === undefined || now - this.#map.at > this.#lifeMs) {
      const map = { value: this.#load(), at: now };
      this.#map = map;
      // A failure is its callers'; the next one asks again.
      map.value.catch(() => {
        if (this.#map === map) this.#map = undefined;
      });
    }
    return this.#map.value;
  }

  /** Tags were changed through this server. */
  forgetTags(): void {
    this.#map = undefined;
  }

  /** Whether a volume may be used so. The tags are looked up only where the volume alone does not do. */
  async allows(principal: Principal, right: Right, volume: VolumeId): Promise<boolean> {
    if (principal.may(right, { volume, tags: NO_TAGS })) return true;
    const tags = (await this.tagMap()).tags.get(volume) ?? NO_TAGS;
    return tags.length > 0 && principal.may(right, { volume, tags });
  }

  /** Whether a volume may be made under this id, or given its first name, by somebody who may make volumes: nothing names it, nothing is in it. */
  async adopts(principal: Principal, volume: VolumeId, signal?: AbortSignal): Promise<boolean> {
    if (principal.creates !== true) return false;
    const commits = await this.#store.list(commitsPrefix(volume), { limit: 1, ...signalOf(signal) });
    if (commits.length > 0) return false;
    // Somebody may have named it just now.
    this.forgetTags();
    return (await this.tagMap()).tags.get(volume) === undefined;
  }

  /** @throws 404 where the volume may not be seen, 403 where it may, and not be used so */
  async check(principal: Principal, right: Right, volume: VolumeId, shown: string = volume): Promise<void> {
    if (await this.allows(principal, right, volume)) return;
    if (right !== "read" && (await this.allows(principal, "read", volume)))
      throw forbidden(right, `volume ${shown}`);
    throw noVolume(shown);
  }

  /** Rights on a tag itself: what it may be given to, and whether it may be made. @throws 403, 404 */
  checkTag(principal: Principal, right: Right, tag: string, volume?: VolumeId): void {
    const subject = { tags: [tag], ...(volume === undefined ? {} : { volume }) };
    if (principal.may(right, subject)) return;
    if (right === "read" || !principal.may("read", subject)) {
      throw new HttpError(404, "not_found", `there is no tag ${tag} here, or you may not see it`, {
        details: { tag },
      });
    }
    throw forbidden(right, `tag ${tag}`);
  }

  /**
   * The volume that a tag or an id names, as the store says now, and that may be used so.
   * @param store where the tag is looked up, for callers who want to know what was read
   * @throws 404, 403
   */
  async resolve(
    principal: Principal,
    right: Right,
    name: string,
    signal?: AbortSignal,
    store: ObjectStore = this.#store,
  ): Promise<VolumeId> {
    const id = parseVolumeId(name);
    if (id !== undefined) {
      await this.check(principal, right, id, name);
      return id;
    }
    const named = await resolveTag(store, this.#codecs, tagName(name), signalOf(signal));
    if (named === undefined) throw noVolume(name);
    // The map may be older than this tag.
    if (principal.may(right, { volume: named, tags: [name] })) return named;
    await this.check(principal, right, named, name);
    return named;
  }

  /** Whether commits of a volume up to an LSN may be read because a fork that shares them may. */
  async allowsByFork(
    principal: Principal,
    volume: VolumeId,
    lsn: Lsn,
    signal?: AbortSignal,
    depth = FORK_DEPTH,
  ): Promise<boolean> {
    if (depth === 0) return false;
    const pins = await this.#store.list(forksPrefix(volume), signalOf(signal));
    for (const { key } of pins) {
      const [name, complement] = key.slice(forksPrefix(volume).length).split("@");
      const fork = parseId<VolumeId>(name ?? "");
      const through = parseComplement(complement ?? "");
      if (fork === undefined || through === undefined || through < lsn) continue;
      if (await this.allows(principal, "read", fork)) return true;
      if (await this.allowsByFork(principal, fork, lsn, signal, depth - 1)) return true;
    }
    return false;
  }

  /** One listing per thousand values that tags ever had, and a request for each new one. */
  async #load(): Promise<TagMap> {
    const newest = new Map<string, string>();
    for (let startAfter = ""; ; ) {
      const page = await this.#store.list(tagsPrefix(), { startAfter, limit: PAGE });
      for (const { key } of page) {
        const name = parseTagKey(key)?.name;
        // Newest first within a tag, because numbers in keys are complemented.
        if (name !== undefined && !newest.has(name)) newest.set(name, key);
      }
      startAfter = page.at(-1)?.key ?? "";
      if (page.length < PAGE) break;
    }
    const values = new Map<string, VolumeId | undefined>();
    await Promise.all(
      [...newest.values()].map(async (key) => {
        values.set(key, this.#values.has(key) ? this.#values.get(key) : await this.#value(key));
      }),
    );
    this.#values = values;
    const volumes = new Map<string, VolumeId>();
    const tags = new Map<VolumeId, string[]>();
    for (const [tag, key] of newest) {
      const volume = values.get(key);
      if (volume === undefined) continue;
      volumes.set(tag, volume);
      const names = tags.get(volume);
      if (names === undefined) tags.set(volume, [tag]);
      else names.push(tag);
    }
    return { volumes, tags };
  }

  async #value(key: string): Promise<VolumeId | undefined> {
    const bytes = await this.#store.get(key);
    return bytes === undefined ? undefined : decodeTag(bytes, this.#codecs.hash, { key }).volume;
  }
}

/** What cannot be a tag names nothing. */
function tagName(name: string): string {
  try {
    return checkTagName(name);
  } catch {
    throw noVolume(name.slice(0, 160));
  }
}

export function forbidden(right: Right, what: string): HttpError {
  return new HttpError(
    403,
    "forbidden",
    `you may see ${what}, but have no right to ${right} it; ask for a token that has`,
    {
      details: { right },
    },
  );
}
