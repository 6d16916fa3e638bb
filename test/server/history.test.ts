/** Compaction, retention and collection by clients of a server: what each may do, what the server refuses, and how old states are served. */
import { describe, expect, it } from "vitest";
import type { Lsn, VolumeId } from "../../src/base/brand.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/format/checkpoint-codec.ts";
import { encodeConfig } from "../../src/format/config-codec.ts";
import { decodeFloor, encodeFloor } from "../../src/format/floor-codec.ts";
import { pathDown } from "../../src/format/jumps.ts";
import {
  checkpointKey,
  commitKey,
  configKey,
  floorKey,
  forkKey,
  leaseKey,
  parseCheckpointKey,
  restorePinKey,
} from "../../src/format/keys.ts";
import type { Checkpoint, Floor } from "../../src/format/model.ts";
import type { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { HOUR, MINUTE, World } from "../history/collect-world.ts";
import { codecs, expectSame, failure, openStore, randomBytes } from "../store/support.ts";
import { authenticate, bearing, EVERYTHING } from "./grants.ts";
import { change, entriesOf, nextPush, Site, world } from "./support.ts";

const WRITER = bearing({ right: "write", prefix: "" });
const READER = bearing({ right: "read", prefix: "" });

interface Served {
  readonly world: World;
  readonly site: Site;
  readonly objects: MemoryObjectStore;
}

/** Twenty commits in seven hours, behind a server that looks at tokens. */
async function served(commits = 20): Promise<Served> {
  const world = await World.create();
  await world.commit(commits, 20 * MINUTE);
  await world.store.tag("docs", world.volume.id);
  return serve(world, world.objects);
}

function serve(world: World, objects: MemoryObjectStore): Served {
  return { world, objects, site: new Site(objects, { authenticate, settings: { tagLifeMs: 0 } }) };
}

async function clientOf({ world, site }: Served, headers: Record<string, string>) {
  const store = await openStore(site.client(headers), { runtime: world.runtime });
  return store.volume(world.volume.id);
}

/** Compacted, and collected by a policy that keeps the last two hours and LSN 3, by its owner, through the server. */
async function collected(): Promise<Served> {
  const made = await served();
  const owner = await clientOf(made, EVERYTHING);
  await owner.setRetention({ all: "2h", keep: [3] });
  await owner.collect();
  made.world.runtime.advance(HOUR);
  const { deleted, floor } = await owner.collect();
  expect(floor.after).toBeGreaterThan(5);
  expect(deleted.commits).toBeGreaterThan(5);
  return made;
}

async function floorOf({ world, objects }: Served): Promise<Floor> {
  const { id } = world.volume;
  const [newest] = await objects.list(`volumes/${id}/floor/`, { limit: 1 });
  for (let n = 1; ; n++) {
    if (floorKey(id, n) !== newest!.key) continue;
    return decodeFloor((await objects.get(newest!.key))!, codecs.hash, { volume: id, n });
  }
}

describe("through a server", () => {
  it("a volume is compacted by whoever may push, and reads as before", async () => {
    const made = await served();
    const writer = await clientOf(made, WRITER);
    const result = await writer.compact({ all: true, complete: true });
    expect(result.pagesMoved).toBeGreaterThan(100);
    await made.world.expectReadable([1, 7, 20]);
    const reader = await clientOf(made, READER);
    expectSame(await reader.read(0, 1e9), made.world.states[20]!);
    await failure((await clientOf(made, READER)).compact({ all: true }), "forbidden");
  });

  it("a retention is set, and garbage collected, by whoever may administer, and by nobody else", async () => {
    const made = await served();
    for (const headers of [READER, WRITER]) {
      const client = await clientOf(made, headers);
      await failure(client.setRetention({ all: "2h" }), "forbidden");
    }
    await (await clientOf(made, EVERYTHING)).setRetention({ all: "2h" });
    for (const headers of [READER, WRITER]) {
      await failure((await clientOf(made, headers)).collect({ lease: false }), "forbidden");
    }
    expect((await floorOf(made)).lsn, "what a writer may do of a collection gives nothing up").toBe(0);
    expect((await made.world.keys("commits")).length).toBe(20);
    const done = await collected();
    await done.world.expectReadable([3, 18, 20]);
    await done.world.expectGone(5);
  });

  it("what is kept is rewritten as it falls apart, by whoever may administer", async () => {
    const made = await served(6);
    const { world } = made;
    const owner = await clientOf(made, EVERYTHING);
    await owner.setRetention({ all: "1h", hourly: "6h" });
    const before = new Map<number, string>();
    let rewritten = 0;
    for (let round = 0; round < 10; round++) {
      for (let k = 0; k < 6; k++) {
        world.runtime.advance(20 * MINUTE);
        const content = world.states.at(-1)!.slice();
        // What does not compress is worth being freed.
        const bytes = randomBytes(32_768, 100 * round + k);
        const at = ((4 * round + k) % 16) * 32_768;
        content.set(bytes, at);
        await owner.write(at, bytes);
        await owner.push();
        world.states.push(content);
      }
      const { kept } = await owner.collect({ graceMs: 0 });
      const floor = await floorOf(made);
      for (const { lsn, hash } of floor.checkpoints) {
        if ((before.get(lsn) ?? hash) !== hash) rewritten++;
        before.set(lsn, hash);
      }
      if (round % 5 === 3) await world.expectReadable([...kept.map(({ lsn }) => lsn), world.newest]);
    }
    expect(rewritten).toBeGreaterThan(0);
    expect((await world.keys("compacted")).length).toBeLessThan(40);
  });

  it("pushes go on above a floor", async () => {
    const made = await collected();
    const { world } = made;
    const writer = await clientOf(made, WRITER);
    for (let i = 0; i < 4; i++) {
      world.states.push(await world.change(writer, world.states.at(-1)!, i === 2));
      await writer.push();
    }
    await world.expectReadable([3, 20, 21, 24]);
  });

  it("old states are served as the retention keeps them: pages, differences, commits", async () => {
    const { site, world } = await collected();
    const pages = (lsn: number) =>
      site.call("POST", "/v1/volumes/docs/pages", { headers: READER, body: { lsn, pages: [[1, 24]] } });
    for (const lsn of [3, 18, 20]) {
      const answer = await pages(lsn);
      expect(answer.status, `LSN ${lsn}`).toBe(200);
      const entries = await entriesOf(answer.bytes);
      expect(entries.filter(({ kind }) => kind === "failure")).toEqual([]);
      const segments = entries.filter(
        (entry) => entry.kind === "bytes" && /segments|compacted/.test(entry.key),
      );
      expect(lsn > 3 || segments.length >= 2, "an index and frames").toBe(true);
    }
    const gone = await pages(5);
    expect(gone.status).toBe(404);
    expect(gone.json.detail).toMatch(/retention keeps everything from LSN \d+ on, and below that LSN 3/);
    const diff = (from: number, to: number) =>
      site.get(`/v1/volumes/docs/diff?from=${from}&to=${to}`, READER);
    expect((await diff(3, 20)).json.pages.length).toBeGreaterThan(0);
    expect((await diff(18, 20)).json.pages.length).toBeGreaterThan(0);
    expect((await diff(0, 20)).json.pages.length).toBeGreaterThan(0);
    expect((await diff(5, 20)).status).toBe(404);
    const commits = await site.get("/v1/volumes/docs/commits?from=16&to=18", READER);
    expect((await entriesOf(commits.bytes)).map(({ kind }) => kind)).toEqual(["bytes", "bytes"]);
    const most = await site.get("/v1/volumes/docs/commits?from=3&to=18&headers=1", READER);
    expect(new Set((await entriesOf(most.bytes)).map(({ kind }) => kind))).toEqual(
      new Set(["absent", "bytes"]),
    );
    expect((await site.get("/v1/volumes/docs", READER)).json).toMatchObject({ lsn: 20 });
    expect(world.newest).toBe(20);
  });

  it("opening takes one request, and moving from below the floor those for the newest floor beside it", async () => {
    const made = await collected();
    const { world } = made;
    const asked: string[] = [];
    const site = new Site(made.objects);
    const client = site.client();
    const spied = Object.assign(Object.create(client) as typeof client, {
      get: (...args: Parameters<typeof client.get>) => {
        asked.push(args[0]);
        return client.get(...args);
      },
      list: (...args: Parameters<typeof client.list>) => {
        asked.push(args[0]);
        return client.list(...args);
      },
      bundle: (...args: Parameters<NonNullable<typeof client.bundle>>) => {
        asked.push("bundle");
        return client.bundle!(...args);
      },
    });
    const reader = await (await openStore(spied)).volume("docs");
    expectSame(await reader.read(0, 4096), world.states[20]!.subarray(0, 4096));
    expect(asked).toEqual(["bundle"]);
    asked.length = 0;
    await world.commit(30, 20 * MINUTE);
    await world.volume.collect();
    world.runtime.advance(3 * HOUR);
    await world.volume.collect();
    world.runtime.advance(HOUR);
    await world.volume.collect();
    expect((await floorOf(made)).lsn).toBeGreaterThan(21);
    expect(await reader.pull()).toMatchObject({ from: 20, to: 50 });
    expect(pathDown(50 as Lsn, 20 as Lsn).length).toBeGreaterThan(1);
    const volume = world.volume.id;
    // Which floor is the newest it asks itself, from the one that it knows.
    const [first, ...floors] = asked;
    expect(first).toBe("bundle");
    expect(floors.every((key) => key.startsWith(`volumes/${volume}/floor/`))).toBe(true);
    expect(floors).toContain(floorKey(volume, (await floorOf(made)).n + 1));
    // By doubling.
    const n = (await floorOf(made)).n;
    expect(floors.length).toBeLessThanOrEqual(2 + 2 * Math.ceil(Math.log2(n)));
    expectSame(await reader.read(0, 1e9), world.states[50]!);
  });

  it("a state that is kept below the floor is forked there, and nothing else is", async () => {
    const made = await collected();
    const { world, site } = made;
    const store = await openStore(site.client(EVERYTHING), { runtime: world.runtime });
    const volume = await store.volume("docs");
    await failure(store.fork("docs", { tag: "early", lsn: 5 }), "not_found");
    const fork = await store.fork("docs", { tag: "kept", lsn: 3 });
    expectSame(await fork.read(0, 1e9), world.states[3]!);
    await world.change(fork, world.states[3]!);
    expect((await fork.push()).lsn).toBe(4);
    const restored = await volume.restore({ at: 3 });
    expect(restored.lsn).toBe(21);
    expectSame(await (await clientOf(made, READER)).read(0, 1e9), world.states[3]!);
    const answer = await site.call("POST", "/v1/volumes/docs/forks", {
      headers: EVERYTHING,
      body: { tag: "another", lsn: 3 },
    });
    expect([answer.status, answer.json.lsn]).toEqual([201, 3]);
  });

  it("a fork is compacted by itself, and detached, and needs its parent no more", async () => {
    const made = await served(8);
    const { world, site, objects } = made;
    const fork = await world.store.fork(world.volume.id, { tag: "fork", lsn: 6 });
    const state = await world.change(fork, world.states[6]!);
    await fork.push();
    const open = async (headers: Record<string, string>) =>
      (await openStore(site.client(headers), { runtime: world.runtime })).volume(fork.id);
    await (await open(WRITER)).compact({ all: true, complete: true });
    await failure((await open(WRITER)).detach(), "forbidden");
    await (await open(EVERYTHING)).detach();
    const id = world.volume.id;
    // The pin goes with what kept it, by whoever administers the fork alone.
    const own = bearing({ right: "admin", volume: fork.id }, { right: "read", volume: id });
    const pin = `/${forkKey(id, fork.id, 6 as Lsn)}`;
    expect((await site.call("DELETE", pin, { headers: WRITER })).status).toBe(403);
    const collector = await open(own);
    await collector.collect();
    world.runtime.advance(2 * HOUR);
    await collector.collect();
    expect(await objects.list(`volumes/${id}/forks/`)).toEqual([]);
    const store = await openStore(site.client(EVERYTHING));
    await store.deleteVolume(id, { confirm: id, purge: true });
    expect((await objects.list(`volumes/${id}/commits/`)).length).toBe(0);
    expectSame(await (await open(READER)).read(0, 1e9), state);
    expectSame(await (await (await openStore(objects)).volume(fork.id)).read(0, 1e9), state);
  });

  it("whoever may read a fork reads what it shares, where the parent's commits were collected", async () => {
    const made = await served();
    const { world, site } = made;
    const fork = await world.store.fork(world.volume.id, { tag: "fork", lsn: 6 });
    const owner = await clientOf(made, EVERYTHING);
    await owner.setRetention({ all: "2h" });
    await owner.collect();
    world.runtime.advance(HOUR);
    await owner.collect();
    expect(await world.keys("commits")).not.toContain(commitKey(world.volume.id, 6 as Lsn));
    const headers = bearing({ right: "read", volume: fork.id });
    const reader = await (await openStore(site.client(headers))).volume(fork.id);
    expectSame(await reader.read(0, 1e9), world.states[6]!);
    await failure((await openStore(site.client(headers))).volume(world.volume.id), "not_found");
    expect((await site.get(`/${commitKey(world.volume.id, 20 as Lsn)}`, headers)).status).toBe(404);
    // A floor that drops the fork point is refused.
    const floor = await floorOf(made);
    const checkpoints = floor.checkpoints.filter(({ lsn }) => lsn !== 6);
    const next = encodeFloor({ ...floor, n: floor.n + 1, checkpoints }, codecs.hash);
    const answer = await site.put(floorKey(world.volume.id, floor.n + 1), next, EVERYTHING);
    expect([answer.status, answer.json.details.fork]).toEqual([409, fork.id]);
  });
});

describe("what is put", () => {
  it("a checkpoint is proven: its commit, its writers, its places", async () => {
    const made = await served(7);
    await (await clientOf(made, WRITER)).compact({ all: true, complete: true });
    const { objects, world, site } = made;
    const volume = world.volume.id;
    const key = (await world.keys("checkpoints"))[0]!;
    const { lsn } = parseCheckpointKey(key)!;
    const honest = decodeCheckpoint((await objects.get(key))!, codecs.hash, { volume, lsn });
    await objects.delete([key, ...(await world.keys("floor"))]);
    const put = async (change: (checkpoint: Checkpoint) => Partial<Checkpoint>) => {
      const { bytes, hash } = encodeCheckpoint({ ...honest, ...change(honest) }, codecs.hash);
      const site = new Site(objects);
      return site.put(checkpointKey(volume, lsn, hash), bytes);
    };
    const [first, ...others] = honest.segments;
    const page = first!.pages.first!;
    const lies: readonly [RegExp, (checkpoint: Checkpoint) => Partial<Checkpoint>][] = [
      [/wrote page/, ({ writers }) => ({ writers: writers.slice(1), segments: [] })],
      [
        /names another commit/,
        ({ writers }) => ({ writers: writers.map((each) => ({ ...each, hash: "ab".repeat(32) as never })) }),
      ],
      [
        /state checksum/,
        () => ({ segments: [{ ...first!, pages: first!.pages.slice(1, first!.pages.size) }, ...others] }),
      ],
      [/made under floor/, () => ({ madeUnder: 9 })],
      [/is not stored/, () => ({ segments: [{ ...first!, number: first!.number + 9 }, ...others] })],
      [
        /hash is not the one/,
        () => ({
          segments: [{ ...first!, ref: { ...first!.ref, indexHash: "ab".repeat(32) as never } }, ...others],
        }),
      ],
    ];
    for (const [problem, lie] of lies) {
      const answer = await put(lie);
      expect([answer.status, answer.json.detail]).toEqual([422, expect.stringMatching(problem)]);
    }
    expect(page).toBeGreaterThan(0);
    const wrongKey = checkpointKey(volume, lsn, "cd".repeat(32) as never);
    expect((await site.put(wrongKey, encodeCheckpoint(honest, codecs.hash).bytes, WRITER)).status).toBe(422);
    const later = checkpointKey(volume, (lsn + 1) as Lsn, honest.hash);
    expect((await site.put(later, encodeCheckpoint(honest, codecs.hash).bytes, WRITER)).status).toBe(422);
    expect((await put(() => ({}))).status).toBe(201);
    expect((await put(() => ({}))).status).toBe(412);
    // One without any place says nothing that is not in the log.
    expect((await put(() => ({ segments: [], features: { compatible: 0, incompatible: 0 } }))).status).toBe(
      201,
    );
  });

  it("a floor follows the newest, never falls, and names complete checkpoints that are there", async () => {
    const made = await collected();
    const { world, site, objects } = made;
    const volume = world.volume.id;
    const floor = await floorOf(made);
    const put = (change: Partial<Floor>, headers = EVERYTHING) => {
      const next = { ...floor, n: floor.n + 1, ...change };
      return site.put(floorKey(volume, next.n), encodeFloor(next, codecs.hash), headers);
    };
    const expectRefused = async (change: Partial<Floor>, status: number, problem: RegExp) => {
      const answer = await put(change);
      expect([answer.status, answer.json.detail]).toEqual([status, expect.stringMatching(problem)]);
    };
    const above = floor.checkpoints.find(({ lsn }) => lsn === floor.lsn)!;
    const other = { ...above, hash: "ab".repeat(32) as never };
    const names = (...checkpoints: Floor["checkpoints"]) => ({ checkpoints });
    await expectRefused({ n: floor.n + 2 }, 409, /has to wait/);
    await expectRefused({ n: floor.n }, 412, /exists/);
    const low = floor.checkpoints.find(({ lsn }) => lsn === 3)!;
    await expectRefused({ lsn: 3 as Lsn, ...names(low, above) }, 422, /never falls/);
    await expectRefused({ time: (floor.time - 1) as never }, 422, /time/);
    await expectRefused({ lsn: 21 as Lsn, ...names({ ...above, lsn: 21 as Lsn }) }, 422, /no commit 21/);
    await expectRefused(names(low, other), 422, /no checkpoint of LSN/);
    await expectRefused(names(low, { ...above, time: 5 as never }), 422, /another time/);
    await expectRefused({ closed: true, lsn: 0 as Lsn, checkpoints: [] }, 422, /was not deleted/);
    const incomplete = decodeCheckpoint(
      (await objects.get(checkpointKey(volume, above.lsn, above.hash)))!,
      codecs.hash,
      {
        volume,
        lsn: above.lsn,
      },
    );
    const bare = encodeCheckpoint(
      { ...incomplete, segments: [], features: { compatible: 0, incompatible: 0 } },
      codecs.hash,
    );
    expect((await site.put(checkpointKey(volume, above.lsn, bare.hash), bare.bytes, WRITER)).status).toBe(
      201,
    );
    await expectRefused(names(low, { ...above, hash: bare.hash }), 422, /does not place every page/);
    // Who may push may not give up LSN 3.
    expect((await put(names(above), WRITER)).status).toBe(403);
    expect((await put({}, WRITER)).status).toBe(201);
    expect((await put({ n: floor.n + 2, ...names(above) })).status).toBe(201);
  });

  it("other values: settings, leases, pins of restores, segments of a floor that is not there", async () => {
    const { world, site } = await served(3);
    const volume = world.volume.id;
    const config = (n: number, text = "{}") =>
      encodeConfig({ volume, n, time: 5 as never, text }, codecs.hash);
    expect((await site.put(configKey(volume, 1), config(1), WRITER)).status).toBe(403);
    expect((await site.put(configKey(volume, 2), config(2), EVERYTHING)).status).toBe(409);
    expect((await site.put(configKey(volume, 1), config(2), EVERYTHING)).status).toBe(422);
    expect((await site.put(configKey(volume, 1), config(1), EVERYTHING)).status).toBe(201);
    const pin = (lsn: number, from: number, bytes = 0) =>
      site.put(restorePinKey(volume, lsn as Lsn, from as Lsn), new Uint8Array(bytes), WRITER);
    expect((await pin(5, 1)).status).toBe(422);
    expect((await pin(4, 4)).status).toBe(422);
    expect((await pin(4, 1, 1)).status).toBe(422);
    expect((await pin(4, 1)).status).toBe(201);
    // It came to nothing: whoever made it takes it back.
    const gone = await site.call("DELETE", `/${restorePinKey(volume, 4 as Lsn, 1 as Lsn)}`, {
      headers: WRITER,
    });
    expect(gone.status).toBe(204);
    const segment = `volumes/${volume}/compacted/${"f".repeat(15)}e-${"0".repeat(26)}`;
    const answer = await site.put(segment, new Uint8Array(100), WRITER);
    expect([answer.status, answer.json.detail]).toEqual([422, expect.stringMatching(/no floor 1/)]);
  });
});

describe("a push in one request", () => {
  const raised = (volume: VolumeId, n: number, lsn: number) => {
    const checkpoints = [{ lsn: lsn as Lsn, time: 5 as never, hash: "ab".repeat(32) as never }];
    const floor = { volume, n, lsn: lsn as Lsn, time: 5 as never, checkpoints };
    return encodeFloor(floor, codecs.hash);
  };

  it("is refused below the floor, and where the floor passed it before it could be acknowledged", async () => {
    const made = await world();
    const { before, objects } = await nextPush(made);
    const { id } = made;
    const below = before.clone();
    await below.put(floorKey(id, 1), raised(id, 1, 5));
    const answer = await new Site(below).push(id, objects);
    expect([answer.status, answer.json.code]).toEqual([409, "diverged"]);
    expect(await below.get(commitKey(id, 5 as Lsn))).toBeUndefined();
    // The floor moves between the two.
    const late = before.clone();
    const racing = Object.assign(Object.create(late) as MemoryObjectStore, {
      get: late.get.bind(late),
      list: late.list.bind(late),
      delete: late.delete.bind(late),
      put: async (...args: Parameters<MemoryObjectStore["put"]>) => {
        const outcome = await late.put(...args);
        if (args[0] === commitKey(id, 5 as Lsn)) await late.put(floorKey(id, 1), raised(id, 1, 6));
        return outcome;
      },
    });
    const lost = await new Site(racing).push(id, objects);
    expect([lost.status, lost.json.code]).toEqual([409, "diverged"]);
    // Where the log went on from it, it is one of the log all the same.
    const { objects: next } = await nextPush(made, (volume) => change(volume, 78));
    for (const { key, bytes } of next) await late.put(key, bytes);
    const again = await new Site(racing).push(id, objects);
    expect(again.status, again.json.detail).toBe(200);
  });

  it("is refused into a volume that is being deleted for good", async () => {
    const made = await world();
    const { before, objects } = await nextPush(made);
    const volume = made.id;
    const closed = { volume, n: 1, closed: true, lsn: 0 as Lsn, time: 5 as never, checkpoints: [] };
    await before.put(floorKey(volume, 1), encodeFloor(closed, codecs.hash));
    expect((await new Site(before).push(volume, objects)).status).toBe(409);
  });
});

describe("what is deleted", () => {
  it("nothing that the newest floor keeps, by nobody", async () => {
    const made = await collected();
    const { world, site } = made;
    const floor = await floorOf(made);
    const needed = [
      commitKey(world.volume.id, floor.lsn),
      commitKey(world.volume.id, 20 as Lsn),
      floorKey(world.volume.id, floor.n),
      configKey(world.volume.id, 1),
      ...(await world.keys("leases")).slice(0, 1),
      ...floor.checkpoints.map(({ lsn, hash }) => checkpointKey(world.volume.id, lsn, hash)),
      ...(await world.placed()),
    ];
    expect(needed.length).toBeGreaterThan(7);
    for (const key of needed) {
      const answer = await site.call("DELETE", `/${key}`, { headers: EVERYTHING });
      expect([answer.status, answer.json?.code], key).toEqual([409, "conflict"]);
    }
    // One that is needed keeps all of a request.
    const keys = [leaseKey(world.volume.id, 1), needed[0]];
    expect((await site.call("POST", "/v1/delete", { headers: EVERYTHING, body: { keys } })).status).toBe(409);
    expect(await site.store.get(keys[0]!)).toBeDefined();
    await world.expectReadable([3, 20]);
  });

  it("a volume that was deleted goes as a whole, but for the floor that says so", async () => {
    const made = await collected();
    const { world, site, objects } = made;
    const store = await openStore(site.client(EVERYTHING));
    const id = world.volume.id;
    const floor = await floorOf(made);
    await store.deleteVolume(id, { confirm: id });
    expect((await site.get(`/v1/volumes/${id}`, EVERYTHING)).status).toBe(404);
    await store.deleteVolume(id, { confirm: id, purge: true });
    const left = (await objects.list(`volumes/${id}/`)).map(({ key }) => key);
    expect(left.length).toBe(1);
    expect((await site.call("DELETE", `/${left[0]}`, { headers: EVERYTHING })).status).toBe(409);
    // A floor that opens it again is none.
    const open = {
      volume: id,
      n: floor.n + 2,
      closed: false,
      lsn: 0 as Lsn,
      time: floor.time,
      checkpoints: [],
    };
    const answer = await site.put(floorKey(id, open.n), encodeFloor(open, codecs.hash), EVERYTHING);
    expect([answer.status, answer.json.code]).toEqual([404, "not_found"]);
  });

  it("a deleted volume is collected for what its forks do not need, and what they do stays", async () => {
    const made = await served(8);
    const { world, site, objects } = made;
    const id = world.volume.id;
    const fork = await world.store.fork(id, { tag: "fork", lsn: 6 });
    const store = await openStore(site.client(EVERYTHING), { runtime: world.runtime });
    await store.deleteVolume(id, { confirm: id });
    const kept = (await world.keys("commits")).length;
    for (let round = 0; round < 3; round++) {
      world.runtime.advance(2 * HOUR);
      await store.collectDeleted(id);
    }
    expect((await world.keys("commits")).length).toBeLessThan(kept);
    const floor = await floorOf(made);
    expect(floor.checkpoints.map(({ lsn }) => lsn)).toEqual([6]);
    for (const { lsn, hash } of floor.checkpoints) {
      const key = `/${checkpointKey(id, lsn, hash)}`;
      expect((await site.call("DELETE", key, { headers: EVERYTHING })).status).toBe(409);
    }
    const reader = await (await openStore(site.client(READER))).volume(fork.id);
    expectSame(await reader.read(0, 1e9), world.states[6]!);
    expect((await objects.list(`volumes/${id}/manifest`)).length).toBe(0);
  });

  it("what another compaction overtook, by whoever may push", async () => {
    const made = await served(7);
    const { world, site, objects } = made;
    await (await clientOf(made, WRITER)).compact({ all: true, complete: true });
    const compacted = await world.keys("compacted");
    const remove = (key: string, headers = WRITER) => site.call("DELETE", `/${key}`, { headers });
    expect((await remove(compacted[0]!)).status).toBe(403);
    const floor = await floorOf(made);
    const next = { ...floor, n: floor.n + 1, checkpoints: [], lsn: 0 as Lsn };
    await objects.put(floorKey(world.volume.id, next.n), encodeFloor(next, codecs.hash));
    // The floor before names it: a reader may have it open.
    expect((await remove(compacted[0]!)).status).toBe(403);
    expect((await remove(compacted[0]!, EVERYTHING)).status).toBe(204);
    const checkpoint = (await world.keys("checkpoints"))[0]!;
    expect((await remove(checkpoint)).status).toBe(204);
    expect(await objects.get(checkpoint)).toBeUndefined();
  });
});
