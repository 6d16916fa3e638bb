import { describe, expect, it } from "vitest";
import type { VolumeId } from "../../src/base/brand.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { forkKey, manifestKey } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import { failure, openStore, randomBytes, sourceOf } from "./support.ts";

async function filled(engine: PageStore, tag: string, seed = 1): Promise<VolumeId> {
  const volume = await engine.createVolume({ tag });
  await volume.import(sourceOf(randomBytes(2_000_000, seed)));
  for (let i = 0; i < 5; i++) {
    await volume.write(i * 4096, randomBytes(100, 10 * seed + i));
    await volume.push();
  }
  return volume.id;
}

const keysOf = async (store: ObjectStore, prefix = "volumes/") =>
  (await store.list(prefix)).map(({ key }) => key);

/** A store that is cut off before its n-th change. */
class Mortal extends MemoryObjectStore {
  changesLeft = Number.POSITIVE_INFINITY;

  static of(other: MemoryObjectStore, changesLeft: number): Mortal {
    const store = new Mortal();
    Object.assign(store, { changesLeft });
    for (const method of ["get", "list", "put", "delete"] as const) {
      Object.assign(store, {
        [method]: (...args: unknown[]) => {
          if ((method === "put" || method === "delete") && store.changesLeft-- <= 0) {
            return Promise.reject(new PagefoldError("unavailable", "cut off", { retryable: false }));
          }
          return (other[method] as (...given: unknown[]) => unknown)(...args);
        },
      });
    }
    return store;
  }
}

describe("deleting a volume", () => {
  it("takes everything of it, its tags, and what this side has; nothing of others", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const id = await filled(engine, "docs");
    await engine.tag("also", id);
    const other = await filled(engine, "other", 2);
    const others = (await keysOf(remote)).filter((key) => key.includes(other));
    const open = await engine.volume("docs");
    const progress: number[] = [];
    const result = await engine.deleteVolume(id, {
      confirm: id,
      onProgress: (objects) => progress.push(objects),
    });
    expect(result.tags).toEqual(["also", "docs"]);
    expect(result.objects).toBe(progress.at(-1));
    expect(await keysOf(remote)).toEqual(others);
    expect((await engine.tags()).map(({ tag }) => tag)).toEqual(["other"]);
    expect(engine.local()).toEqual([other]);
    await failure(open.read(0, 10), "closed");
    await failure(engine.volume("docs"), "not_found");
    await failure(engine.volume(id), "not_found");
    await failure(engine.deleteVolume(id, { confirm: id }), "not_found");
  });

  it("needs its id once more", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const id = await filled(engine, "docs");
    const before = await keysOf(remote, "");
    await failure(engine.deleteVolume(id, { confirm: "docs" }), "invalid");
    await failure(engine.deleteVolume(id, { confirm: "" }), "invalid");
    expect(await keysOf(remote, "")).toEqual(before);
  });

  it("invariant 9: what forks need stays, until they are gone", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const id = await filled(engine, "docs");
    const fork = await engine.fork("docs", { tag: "fork", lsn: 3 });
    const before = await keysOf(remote, "");
    const error = await failure(engine.deleteVolume(id, { confirm: id }), "conflict");
    expect(error.details.forks).toBe(fork.id);
    expect(await keysOf(remote, "")).toEqual(before);
    await engine.deleteVolume(fork.id, { confirm: fork.id });
    // The pin went with the fork.
    expect(await keysOf(remote, `volumes/${id}/forks/`)).toEqual([]);
    await engine.deleteVolume(id, { confirm: id });
    expect(await keysOf(remote)).toEqual([]);
  });

  it("invariant 11: cut off before any of its changes, it is a whole volume or none, and running it again finishes it", async () => {
    const source = new MemoryObjectStore();
    const engine = await openStore(source);
    const parent = await filled(engine, "parent");
    const fork = await engine.fork("parent", { tag: "fork" });
    await fork.write(0, randomBytes(200_000, 7));
    await fork.push();
    let finished = false;
    for (let changes = 0; !finished; changes++) {
      const remote = source.clone();
      const mortal = await openStore(Mortal.of(remote, changes));
      try {
        await mortal.deleteVolume(fork.id, { confirm: fork.id });
        finished = true;
      } catch (error) {
        expect((error as PagefoldError).message).toContain("cut off");
      }
      const reader = await openStore(remote);
      if ((await remote.get(manifestKey(fork.id))) === undefined) {
        await failure(reader.volume(fork.id), "not_found");
        await failure(reader.volume("fork"), "not_found");
      } else {
        const volume = await reader.volume(fork.id);
        expect(volume.status().lsn).toBe(fork.status().lsn);
        await volume.verify();
        // As long as it can be read, what it shares is held.
        expect((await keysOf(remote, `volumes/${parent}/forks/`)).length).toBe(1);
      }
      if (!finished) {
        const again = await openStore(remote);
        await again.deleteVolume(fork.id, { confirm: fork.id });
        expect(await keysOf(remote, `volumes/${fork.id}/`)).toEqual([]);
        expect(await keysOf(remote, `volumes/${parent}/forks/`)).toEqual([]);
      }
      await (await reader.volume("parent")).verify();
    }
  });

  it("a writer that has not heard yet leaves nothing behind that is found later", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const id = await filled(engine, "docs");
    let listings = 0;
    const list = remote.list.bind(remote);
    // Between two listings of the deletion, a late segment arrives.
    Object.assign(remote, {
      list: async (...args: Parameters<typeof list>) => {
        const found = await list(...args);
        if (args[0] === `volumes/${id}/` && ++listings === 1) {
          await remote.put(`volumes/${id}/segments/ffffffffffffff00-${id}`, new Uint8Array(9));
        }
        return found;
      },
    });
    await engine.deleteVolume(id, { confirm: id });
    expect(listings).toBeGreaterThan(2);
    expect(await keysOf(remote)).toEqual([]);
  });

  it("a fork that is begun meanwhile keeps the volume, or is not made", async () => {
    for (const moment of ["before the manifest goes", "after the manifest is gone"]) {
      const remote = new MemoryObjectStore();
      const engine = await openStore(remote);
      const id = await filled(engine, "docs");
      const forker = await openStore(remote);
      await forker.volume("docs");
      const remove = remote.delete.bind(remote);
      let forked: Promise<unknown> | undefined;
      Object.assign(remote, {
        delete: async (keys: readonly string[]) => {
          const isManifest = keys.includes(manifestKey(id));
          if (isManifest && moment.startsWith("before")) forked = forker.fork(id, { tag: "fork" });
          if (isManifest && moment.startsWith("before")) await forked;
          await remove(keys);
          if (isManifest && moment.startsWith("after")) {
            forked = failure(forker.fork(id, { tag: "fork" }), "not_found");
            await forked;
          }
        },
      });
      const outcome = engine.deleteVolume(id, { confirm: id });
      if (moment.startsWith("before")) {
        await failure(outcome, "conflict");
        const fork = await (await openStore(remote)).volume("fork");
        await fork.hydrate();
        await (await (await openStore(remote)).volume(id)).verify();
      } else {
        await outcome;
        expect(await keysOf(remote)).toEqual([]);
      }
    }
  });

  it("an untagged volume is found by its id, a removed tag is free again", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const id = await filled(engine, "docs");
    await engine.untag("docs");
    await failure(engine.untag("docs"), "not_found");
    expect(await engine.tags()).toEqual([]);
    const other = await openStore(remote);
    await failure(other.volume("docs"), "not_found");
    expect((await other.volume(id)).status().lsn).toBe(6);
    await other.tag("docs", id);
    expect(await engine.resolve("docs")).toBe(id);
  });

  it("without the manifest, the pins of the rest are found in every other volume", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const id = await filled(engine, "docs");
    await filled(engine, "between", 3);
    const fork = await engine.fork("docs", { lsn: 2 });
    await fork.write(0, randomBytes(50, 1));
    await fork.push();
    await remote.delete([manifestKey(fork.id)]);
    await (await openStore(remote)).deleteVolume(fork.id, { confirm: fork.id });
    expect(await remote.get(forkKey(id, fork.id, 2 as never))).toBeUndefined();
    expect(await keysOf(remote, `volumes/${fork.id}/`)).toEqual([]);
  });
});
