import { describe, expect, it } from "vitest";
import type { Lsn, VolumeId } from "../../src/base/brand.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { floorKey, floorPrefix, forkKey, manifestKey } from "../../src/format/keys.ts";
import { deletedState } from "../../src/history/delete/deleted.ts";
import { purgeDeleted } from "../../src/history/delete/purge.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { codecs, expectSame, failure, openStore, randomBytes, sourceOf } from "../store/support.ts";

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

const runtime = new SimRuntime(3);

/** The objects of a volume but for the series that tells of its deletion. */
const rest = async (store: ObjectStore, id: VolumeId) =>
  (await keysOf(store, `volumes/${id}/`)).filter((key) => !key.includes("/deleted/"));

describe("deleting a volume", () => {
  it("takes it from everybody, and undeleting it puts it back with its tags", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const id = await filled(engine, "docs");
    await engine.tag("also", id);
    const before = await keysOf(remote);
    const open = await engine.volume("docs");
    const content = await open.read(0, 1e9);
    const result = await engine.deleteVolume(id, { confirm: id });
    expect(result).toMatchObject({ tags: ["also", "docs"], objects: 0 });
    await failure(open.read(0, 10), "closed");
    for (const name of ["docs", "also", id]) await failure(engine.volume(name), "not_found");
    expect(engine.local()).toEqual([]);
    expect(await engine.tags()).toEqual([]);
    // Once more changes nothing.
    expect(await engine.deleteVolume(id, { confirm: id })).toEqual(result);
    expect(await rest(remote, id)).toEqual(before.filter((key) => key !== manifestKey(id)));
    const other = await openStore(remote);
    await filled(other, "also", 2);
    expect(await other.undelete(id)).toEqual({ tags: ["docs"], taken: ["also"] });
    const back = await other.volume("docs");
    expect(back.id).toBe(id);
    expectSame(await back.read(0, 1e9), content);
    await back.verify();
    expect(await other.undelete(id), "invariant 11").toEqual({ tags: ["docs"], taken: ["also"] });
    // And again, now for good.
    await other.deleteVolume(id, { confirm: id, purge: true });
    expect(await keysOf(remote, `volumes/${id}/`)).toEqual([floorKey(id, 1)]);
    await failure(other.undelete(id), "not_found");
    await failure(other.deleteVolume(id, { confirm: id }), "not_found");
  });

  it("leaves the tags alone where that is asked", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const id = await filled(engine, "docs");
    await failure(engine.undelete(id), "invalid");
    await engine.deleteVolume(id, { confirm: id });
    expect(await engine.undelete(id, { tags: false })).toEqual({ tags: [], taken: [] });
    expect(await engine.tags()).toEqual([]);
    expect((await engine.volume(id)).status().lsn).toBe(6);
  });

  it("keeps what writers push who have not heard", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const writer = await openStore(remote);
    const id = await filled(engine, "docs");
    const open = await writer.volume("docs");
    await open.write(0, randomBytes(50, 5));
    await engine.deleteVolume(id, { confirm: id });
    expect((await open.push()).lsn).toBe(7);
    await engine.undelete(id);
    const back = await engine.volume("docs");
    expect(await back.read(0, 50)).toEqual(randomBytes(50, 5));
    await back.verify();
  });

  it("purged, it takes everything of it, its tags, and what this side has; nothing of others", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const id = await filled(engine, "docs");
    await engine.tag("also", id);
    const other = await filled(engine, "other", 2);
    const others = (await keysOf(remote)).filter((key) => key.includes(other));
    const progress: number[] = [];
    const result = await engine.deleteVolume(id, {
      confirm: id,
      purge: true,
      onProgress: (objects) => progress.push(objects),
    });
    expect(result.tags).toEqual(["also", "docs"]);
    expect(result.objects).toBe(progress.at(-1));
    expect(await keysOf(remote)).toEqual([...others, floorKey(id, 1)].sort());
    expect((await engine.tags()).map(({ tag }) => tag)).toEqual(["other"]);
    expect(engine.local()).toEqual([other]);
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
    const error = await failure(engine.deleteVolume(id, { confirm: id, purge: true }), "conflict");
    expect(error.details.forks).toBe(fork.id);
    expect(await keysOf(remote, "")).toEqual(before);
    await engine.deleteVolume(id, { confirm: id });
    await failure(purgeDeleted(remote, codecs, runtime, id), "conflict");
    const read = async () => {
      const reader = await (await openStore(remote)).volume("fork");
      await reader.verify();
      return reader;
    };
    await read();
    // A fork of the fork shares what the deleted volume keeps.
    const second = await engine.fork("fork", { tag: "second", lsn: 3 });
    expect(await remote.get(forkKey(id, second.id, 3 as Lsn))).toBeDefined();
    await failure((await openStore(remote)).volume(id), "not_found");
    for (const each of [fork, second]) await engine.deleteVolume(each.id, { confirm: each.id, purge: true });
    // The pins went with the forks.
    expect(await keysOf(remote, `volumes/${id}/forks/`)).toEqual([]);
    expect(await purgeDeleted(remote, codecs, runtime, id)).toBeGreaterThan(5);
    const left = (await keysOf(remote)).map((key) => key.replace(/^volumes\/\w+/, ""));
    expect(new Set(left), "only closed floors").toEqual(
      new Set([floorKey(id, 1).replace(/^volumes\/\w+/, "")]),
    );
  });

  it("a deleted fork keeps its pin until it is purged", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const id = await filled(engine, "docs");
    const fork = await engine.fork("docs", { tag: "fork", lsn: 3 });
    await engine.deleteVolume(fork.id, { confirm: fork.id });
    await failure(engine.deleteVolume(id, { confirm: id, purge: true }), "conflict");
    await engine.undelete(fork.id);
    await (await engine.volume("fork")).verify();
  });

  for (const purge of [false, true]) {
    it(`invariant 11: cut off before any of its changes, it is a whole volume or none, and running it again finishes it${purge ? " (purge)" : ""}`, async () => {
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
          await mortal.deleteVolume(fork.id, { confirm: fork.id, purge });
          finished = true;
        } catch (error) {
          expect((error as PagefoldError).message).toContain("cut off");
        }
        const reader = await openStore(remote);
        const { state } = await deletedState(remote, codecs, fork.id);
        if (state === "live") {
          const volume = await reader.volume(fork.id);
          expect(volume.status().lsn).toBe(fork.status().lsn);
          await volume.verify();
        } else {
          await failure(reader.volume(fork.id), "not_found");
          await failure(reader.volume("fork"), "not_found");
        }
        if (state === "live" || state === "deleted") {
          // As long as it can be read, or put back, what it shares is held.
          expect((await keysOf(remote, `volumes/${parent}/forks/`)).length).toBe(1);
          const undoing = await openStore(remote.clone());
          if (changes > 0) {
            expect((await undoing.undelete(fork.id)).tags).toEqual(["fork"]);
            await (await undoing.volume("fork")).verify();
          }
        }
        if (!finished) {
          const again = await openStore(remote);
          const result = await again.deleteVolume(fork.id, { confirm: fork.id, purge });
          if (state === "live") expect(result.tags).toEqual(["fork"]);
          if (purge) {
            expect(await keysOf(remote, `volumes/${fork.id}/`)).toEqual([floorKey(fork.id, 1)]);
            expect(await keysOf(remote, `volumes/${parent}/forks/`)).toEqual([]);
          }
        }
        await (await reader.volume("parent")).verify();
      }
    });
  }

  it("invariant 11: undeleting, cut off before any of its changes, is finished by running it again", async () => {
    const source = new MemoryObjectStore();
    const engine = await openStore(source);
    const id = await filled(engine, "docs");
    await engine.tag("also", id);
    await engine.deleteVolume(id, { confirm: id });
    let finished = false;
    for (let changes = 0; !finished; changes++) {
      const remote = source.clone();
      try {
        await (await openStore(Mortal.of(remote, changes))).undelete(id);
        finished = true;
      } catch (error) {
        expect((error as PagefoldError).message).toContain("cut off");
      }
      // A purge takes it whole, or not at all.
      const { state } = await deletedState(remote, codecs, id);
      const purged = remote.clone();
      if (state === "deleted") await purgeDeleted(purged, codecs, runtime, id);
      else await failure(purgeDeleted(purged, codecs, runtime, id), "conflict");
      const again = await openStore(remote);
      expect(await again.undelete(id)).toEqual({ tags: ["also", "docs"], taken: [] });
      await (await again.volume("also")).verify();
    }
  });

  it("of an undeletion and a purge that race, one wins", async () => {
    for (let turn = 0; turn < 8; turn++) {
      const remote = new MemoryObjectStore();
      const engine = await openStore(remote);
      const id = await filled(engine, "docs");
      await engine.deleteVolume(id, { confirm: id });
      const put = remote.put.bind(remote);
      const get = remote.get.bind(remote);
      let steps = turn;
      const later = async () => {
        for (let i = 0; i < steps; i++) await Promise.resolve();
        steps = 0;
      };
      Object.assign(remote, {
        put: async (...args: Parameters<typeof put>) => later().then(() => put(...args)),
        get: async (...args: Parameters<typeof get>) => later().then(() => get(...args)),
      });
      const [undone, purged] = await Promise.allSettled([
        engine.undelete(id),
        purgeDeleted(remote, codecs, runtime, id),
      ]);
      expect([undone.status, purged.status].sort()).toEqual(["fulfilled", "rejected"]);
      if (undone.status === "fulfilled") await (await engine.volume("docs")).verify();
      else expect(await keysOf(remote)).toEqual([floorKey(id, 1)]);
    }
  });

  it("of a deletion and an undeletion that race, the undeletion wins", async () => {
    const remote = new MemoryObjectStore();
    const engine = await openStore(remote);
    const id = await filled(engine, "docs");
    const other = await openStore(remote);
    const remove = remote.delete.bind(remote);
    Object.assign(remote, {
      delete: async (keys: readonly string[]) => {
        if (keys.includes(manifestKey(id))) await other.undelete(id);
        await remove(keys);
      },
    });
    await failure(engine.deleteVolume(id, { confirm: id }), "conflict");
    await (await other.volume("docs")).verify();
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
    await engine.deleteVolume(id, { confirm: id, purge: true });
    expect(listings).toBeGreaterThan(2);
    const left = (await keysOf(remote)).map((key) => key.replace(/^volumes\/\w+/, ""));
    expect(new Set(left), "only closed floors").toEqual(
      new Set([floorKey(id, 1).replace(/^volumes\/\w+/, "")]),
    );
  });

  it("a fork that is begun meanwhile keeps what it needs, or is not made", async () => {
    for (const moment of [
      "before the manifest goes",
      "after the manifest is gone",
      "after the floor closed",
    ]) {
      const remote = new MemoryObjectStore();
      const engine = await openStore(remote);
      const id = await filled(engine, "docs");
      const forker = await openStore(remote);
      await forker.volume("docs");
      const remove = remote.delete.bind(remote);
      const put = remote.put.bind(remote);
      Object.assign(remote, {
        delete: async (keys: readonly string[]) => {
          const isManifest = keys.includes(manifestKey(id));
          if (isManifest && moment.startsWith("before")) await forker.fork(id, { tag: "fork" });
          await remove(keys);
          if (isManifest && moment.includes("gone")) await forker.fork(id, { tag: "fork" });
        },
        put: async (...args: Parameters<typeof put>) => {
          const answer = await put(...args);
          if (args[0].startsWith(floorPrefix(id)))
            await failure(forker.fork(id, { tag: "fork" }), "not_found", "conflict");
          return answer;
        },
      });
      const outcome = engine.deleteVolume(id, { confirm: id, purge: true });
      if (!moment.includes("closed")) {
        await failure(outcome, "conflict");
        expect((await deletedState(remote, codecs, id)).state).toBe("deleted");
        const fork = await (await openStore(remote)).volume("fork");
        await fork.hydrate();
        // It can be put back, too.
        await engine.undelete(id);
        await (await (await openStore(remote)).volume(id)).verify();
      } else {
        await outcome;
        const left = (await keysOf(remote)).map((key) => key.replace(/^volumes\/\w+/, ""));
        expect(new Set(left), "only closed floors").toEqual(
          new Set([floorKey(id, 1).replace(/^volumes\/\w+/, "")]),
        );
      }
    }
  });

  it("a fork that was made and not finished when its parent was deleted is finished, and stays pinned", async () => {
    for (const failing of [/^tags\/fork/, /manifest$/]) {
      const remote = new MemoryObjectStore();
      const engine = await openStore(remote);
      const id = await filled(engine, "docs");
      let fails = true;
      const put = remote.put.bind(remote);
      const cutOff = Object.assign(Mortal.of(remote, Number.POSITIVE_INFINITY), {
        put: async (...args: Parameters<typeof put>) => {
          if (fails && failing.test(args[0])) throw new PagefoldError("unavailable", "cut off");
          return put(...args);
        },
      });
      const forker = await openStore(cutOff);
      await forker.volume("docs");
      await failure(forker.fork("docs", { tag: "fork" }), "unavailable");
      fails = false;
      await engine.deleteVolume(id, { confirm: id });
      await forker.fork("docs", { tag: "fork" });
      await (await (await openStore(remote)).volume("fork")).verify();
      expect((await keysOf(remote, `volumes/${id}/forks/`)).length).toBe(1);
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
    await (await openStore(remote)).deleteVolume(fork.id, { confirm: fork.id, purge: true });
    expect(await remote.get(forkKey(id, fork.id, 2 as never))).toBeUndefined();
    expect(await keysOf(remote, `volumes/${fork.id}/`)).toEqual([floorKey(fork.id, 1)]);
  });
});
