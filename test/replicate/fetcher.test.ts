/** The fault path: one flight per frame, adjacent frames in one request, bounded concurrency, aborts that hurt nobody else. */
import { beforeAll, describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { segmentsPrefix } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { GetOptions, ObjectStore } from "../../src/remote/object-store.ts";
import { defaultFetcherSettings } from "../../src/replicate/fetcher.ts";
import type { StoreSettings } from "../../src/store/settings.ts";
import type { Volume } from "../../src/store/volume.ts";
import { expectSame, failure, openStore, randomBytes, sourceOf } from "../store/support.ts";

const PAGE = 4096;
const FRAME = 4 * PAGE;
const PAGES = 600;
const content = randomBytes(PAGES * PAGE, 1);
const objects = new MemoryObjectStore();
let id: string;
let segment: string;

beforeAll(async () => {
  const store = await openStore(objects, { settings: { frameBytes: FRAME } });
  const volume = await store.createVolume({ pageSize: PAGE });
  await volume.import(sourceOf(content));
  id = volume.id;
  segment = (await objects.list(segmentsPrefix(volume.id)))[0]!.key;
});

interface Waiting {
  readonly key: string;
  readonly options: GetOptions;
  readonly go: () => void;
  readonly fail: (error: Error) => void;
}

/** A store whose gets of the segment wait to be let through, one by one. */
class GatedStore {
  readonly waiting: Waiting[] = [];
  open = true;
  started = 0;
  readonly store: ObjectStore = {
    url: objects.url,
    capabilities: objects.capabilities,
    get: async (key, options = {}) => {
      if (key === segment) this.started++;
      if (key === segment && !this.open) {
        await new Promise<void>((go, fail) => {
          const { signal } = options;
          signal?.addEventListener("abort", () => fail(signal.reason), { once: true });
          this.waiting.push({ key, options, go, fail });
        });
      }
      return objects.get(key, options);
    },
    put: (key, body, options) => objects.put(key, body, options),
    list: (prefix, options) => objects.list(prefix, options),
    delete: (keys) => objects.delete(keys),
    close: async () => {},
  };

  /** Lets everything through that waits, now and from now on. */
  release(): void {
    this.open = true;
    for (const { go } of this.waiting.splice(0)) go();
  }
}

async function gated(settings: Partial<StoreSettings> = {}): Promise<{ gate: GatedStore; volume: Volume }> {
  const gate = new GatedStore();
  const store = await openStore(gate.store, { settings: { readAhead: undefined, ...settings } });
  const volume = await store.volume(id);
  await volume.read(0, 1); // header and read index are known from here on
  gate.started = 0;
  gate.open = false;
  return { gate, volume };
}

/** Lets promises settle that need no I/O. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

const slice = (page: number, pages = 1) => content.subarray(page * PAGE, (page + pages) * PAGE);

describe("single flight and coalescing", () => {
  it("two readers of one frame make one request, and both get the bytes", async () => {
    const { gate, volume } = await gated();
    const a = volume.read(100 * PAGE, PAGE);
    const b = volume.read(101 * PAGE, PAGE);
    await turns();
    expect(gate.waiting.length).toBe(1);
    gate.release();
    expectSame(await a, slice(100));
    expectSame(await b, slice(101));
    expect(gate.started).toBe(1);
  });

  it("adjacent frames are one ranged request; far ones are not; a range has its largest size", async () => {
    const { gate, volume } = await gated();
    gate.open = true;
    expectSame(await volume.read(100 * PAGE, 40 * PAGE), slice(100, 40));
    expect(gate.started).toBe(1);
    const small = await gated({ fetcher: { ...defaultFetcherSettings, maxRangeBytes: 2 * FRAME } });
    small.gate.open = true;
    expectSame(await small.volume.read(100 * PAGE, 32 * PAGE), slice(100, 32));
    expect(small.gate.started).toBe(4);
  });

  it("no more requests at a time than the setting says", async () => {
    const { gate, volume } = await gated({
      fetcher: { concurrency: 3, maxRangeBytes: FRAME, gapBytes: 0 },
    });
    const reading = volume.read(100 * PAGE, 80 * PAGE);
    await turns();
    let most = 0;
    for (let done = 0; done < 20; ) {
      most = Math.max(most, gate.waiting.length);
      const next = gate.waiting.shift();
      if (next === undefined) break;
      next.go();
      done++;
      await turns();
    }
    gate.release();
    expectSame(await reading, slice(100, 80));
    expect(most).toBe(3);
  });
});

describe("aborting", () => {
  it("regression (zarrita): one caller's abort does not reject its neighbour", async () => {
    const { gate, volume } = await gated();
    const controller = new AbortController();
    const leaver = failure(volume.read(100 * PAGE, 8 * PAGE, { signal: controller.signal }), "aborted");
    const stayer = volume.read(101 * PAGE, PAGE);
    await turns();
    controller.abort();
    await leaver;
    await turns();
    expect(gate.waiting.every(({ options }) => options.signal?.aborted !== true)).toBe(true);
    gate.release();
    expectSame(await stayer, slice(101));
  });

  it("when the last one leaves, the request itself is aborted, and the next reader starts anew", async () => {
    const { gate, volume } = await gated();
    const controllers = [new AbortController(), new AbortController()];
    const leavers = controllers.map(({ signal }) =>
      failure(volume.read(100 * PAGE, PAGE, { signal }), "aborted"),
    );
    await turns();
    const [request] = gate.waiting;
    controllers[0]!.abort();
    await turns();
    expect(request!.options.signal?.aborted).toBe(false);
    controllers[1]!.abort();
    await Promise.all(leavers);
    expect(request!.options.signal?.aborted).toBe(true);
    gate.release();
    expectSame(await volume.read(100 * PAGE, PAGE), slice(100));
  });

  it("a reader that comes while an abandoned flight still lands is served", async () => {
    const { gate, volume } = await gated();
    const controller = new AbortController();
    const leaver = failure(volume.read(100 * PAGE, PAGE, { signal: controller.signal }), "aborted");
    await turns();
    controller.abort();
    const late = volume.read(100 * PAGE, PAGE);
    await leaver;
    await turns();
    gate.release();
    expectSame(await late, slice(100));
  });

  it("a signal that fired before says so without a request", async () => {
    const { gate, volume } = await gated();
    await failure(volume.read(100 * PAGE, PAGE, { signal: AbortSignal.abort() }), "aborted");
    expect(gate.started).toBe(0);
  });
});

describe("failures", () => {
  it("regression (PMTiles): a rejected request is not remembered", async () => {
    const { gate, volume } = await gated();
    const reading = volume.read(100 * PAGE, PAGE);
    const failed = failure(reading, "forbidden");
    await turns();
    gate.waiting.shift()!.fail(new PagefoldError("forbidden", "no"));
    await failed;
    gate.release();
    expectSame(await volume.read(100 * PAGE, PAGE), slice(100));
  });

  it("a header, index or frame that came damaged once is asked for again", async () => {
    const flips = { left: 1, key: /./ };
    const damaging: ObjectStore = {
      ...objects,
      url: objects.url,
      capabilities: objects.capabilities,
      get: async (key, options) => {
        const bytes = await objects.get(key, options);
        if (flips.left > 0 && flips.key.test(key) && bytes !== undefined) {
          flips.left--;
          bytes[Math.floor(bytes.length / 2)]! ^= 8;
        }
        return bytes;
      },
      list: (prefix, options) => objects.list(prefix, options),
      put: (key, body, options) => objects.put(key, body, options),
      delete: (keys) => objects.delete(keys),
      close: async () => {},
    };
    flips.left = 0;
    const store = await openStore(damaging, { settings: { readAhead: undefined } });
    const volume = await store.volume(id);
    for (let i = 0; i < 6; i++) {
      flips.left = 1;
      const first = await volume.read((50 * i + 5) * PAGE, PAGE).catch((error) => error);
      if (first instanceof Error) expect(first).toMatchObject({ code: "corrupt" });
      flips.left = 0;
      expectSame(await volume.read((50 * i + 5) * PAGE, PAGE), slice(50 * i + 5), "invariant 7");
    }
  });

  it("a page read ahead that is damaged does not fail the page that was asked for", async () => {
    const damaged = objects.clone();
    const bytes = (await damaged.get(segment))!;
    bytes[25 * FRAME + 3]! ^= 1; // pages 101 to 104
    await damaged.put(segment, bytes);
    const store = await openStore(damaged);
    const volume = await store.volume(id);
    for (let page = 60; page < 100; page++) expectSame(await volume.read(page * PAGE, PAGE), slice(page));
    await failure(volume.read(100 * PAGE, PAGE), "corrupt");
    for (let page = 104; page < 140; page++) expectSame(await volume.read(page * PAGE, PAGE), slice(page));
  });

  it("nor does a page read ahead whose commit or index is gone", async () => {
    const remote = new MemoryObjectStore();
    const settings = { frameBytes: 512 };
    const writer = await (await openStore(remote, { settings })).createVolume({ pageSize: 512 });
    await writer.write(0, randomBytes(512 * 64, 3));
    await writer.push();
    await writer.write(512 * 40, randomBytes(512 * 4, 4));
    await writer.push();
    await writer.write(0, randomBytes(10, 5));
    await writer.push();
    const expected = await writer.read(0, 1e9);
    const [, commit2] = await remote.list(`volumes/${writer.id}/commits/`);
    const reader = await (await openStore(remote)).volume(writer.id);
    await remote.delete([commit2!.key]);
    for (let page = 2; page < 40; page++) {
      expectSame(
        await reader.read(page * 512, 512),
        expected.subarray(page * 512, (page + 1) * 512),
        `page ${page}`,
      );
    }
    const error = await failure(reader.read(41 * 512, 1), "corrupt");
    expect(error.details).toMatchObject({ volume: writer.id, lsn: 2 });
    expectSame(await reader.read(50 * 512, 512), expected.subarray(50 * 512, 51 * 512));
  });
});
