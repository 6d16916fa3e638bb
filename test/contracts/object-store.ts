/**
 * The conformance suite of the ObjectStore contract. It runs over every backend here, and over users' own: it needs of a test
 * framework only `describe` and `it` (vitest, node:test, mocha, jest), and brings its own checks. A case that a backend cannot
 * be asked is skipped with its reason.
 */
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import type { ListEntry, ObjectStore } from "../../src/remote/object-store.ts";
import { assertWritable, probeConditionalCreate } from "../../src/remote/writable.ts";

/** The part of a test framework that the suite uses. */
export interface TestApi {
  describe(name: string, body: () => void): void;
  it(name: string, body: (context: unknown) => Promise<void>): void;
}

/** One empty place for objects, made for one test. */
export interface StoreFixture {
  readonly store: ObjectStore;
  /** Another client of the same place, as another process would open it; closed by the suite. Default: `store` itself. */
  readonly reopen?: () => Promise<ObjectStore>;
  /** Removes the place; the suite has closed the stores. */
  readonly dispose?: () => Promise<void>;
}

export interface ContractOptions {
  /** Size of the streamed object, bytes. Default 40 MiB. */
  readonly largeBytes?: number;
  /** How many objects the long listing has; more than one page. Default 1100. */
  readonly manyObjects?: number;
  /** How much the memory of this process may grow while the large object is written, bytes; not checked where absent. */
  readonly largeMemoryLimit?: number;
  /** Names of cases that this backend is known to fail, with the reason: they are skipped. */
  readonly except?: Readonly<Record<string, string>>;
}

const encoder = new TextEncoder();
const text = (s: string): Uint8Array => encoder.encode(s);

/** Keys that some backend somewhere gets wrong. */
const ODD_KEYS: readonly string[] = [
  "~",
  "%41",
  "%2e%2e/x",
  "a b",
  "a+b",
  "a&b=c?d#e",
  "tags/caf\u00e9",
  "tags/cafe\u0301",
  "tags/\u65e5\u672c\u8a9e",
  "tags/\u{1f4c4} page",
  "tags/\ufb01",
  "...",
  ".hidden",
  ".tmp/x",
  "a'b\"c",
  "x:y*z|<w>",
  "__proto__",
  "constructor",
  `deep/${"a/".repeat(200)}end`,
];

/** Parts longer than the 255 bytes that a file name may have. */
const LONG_KEYS: readonly string[] = [
  `${"k".repeat(255)}/v`,
  `long/${"0123456789".repeat(85)}`,
  `long/${"0123456789".repeat(85)}-and/more`,
  `wide/${"\u65e5".repeat(290)}`,
];

export function objectStoreContract(
  api: TestApi,
  name: string,
  make: () => Promise<StoreFixture>,
  options: ContractOptions = {},
): void {
  const { largeBytes = 40 * 1_048_576, manyObjects = 1100, largeMemoryLimit, except = {} } = options;

  /** A case on a fresh, empty place. */
  function it(
    title: string,
    body: (store: ObjectStore, fixture: StoreFixture, skip: Skip) => Promise<void>,
  ): void {
    api.it(title, async (context) => {
      const skip: Skip = (reason) => skipCase(context, reason);
      const known = except[title];
      if (known !== undefined) return skip(known);
      const fixture = await make();
      try {
        await body(fixture.store, fixture, skip);
      } finally {
        await fixture.store.close();
        await fixture.dispose?.();
      }
    });
  }

  /** A case that only a store with conditional creation can be asked. */
  function itConditional(
    title: string,
    body: (store: ObjectStore, fixture: StoreFixture) => Promise<void>,
  ): void {
    it(title, async (store, fixture, skip) => {
      if (await probeConditionalCreate(store, systemRuntime)) return body(store, fixture);
      return skip("this store does not honour conditional creation");
    });
  }

  api.describe(`object store contract: ${name}`, () => {
    it("describes itself without a secret", async (store) => {
      check(store.url.length > 0, "url is empty");
      check(!/:[^/@]*@/.test(store.url), `url ${store.url} seems to hold a password`);
      check(
        store.capabilities.write && store.capabilities.list,
        "the suite needs a store that writes and lists",
      );
    });

    it("returns what was put", async (store, fixture) => {
      equal(await store.put("a/b/c", text("hello")), "created");
      sameBytes(await store.get("a/b/c"), text("hello"));
      await withOther(fixture, async (other) => sameBytes(await other.get("a/b/c"), text("hello")));
    });

    it("answers undefined for absent keys", async (store) => {
      await store.put("a/b", text("x"));
      for (const key of ["a/c", "a/b2", "a/bb/c", "z", "a"]) {
        equal(await store.get(key), undefined);
        equal(await store.get(key, { range: { offset: 0, length: 10 } }), undefined);
        equal(await store.get(key, { range: { offset: 0, length: 0 } }), undefined);
      }
    });

    it("reads ranges, clamped to the end", async (store) => {
      const bytes = pattern(10_000, 1);
      await store.put("ranges/one", bytes);
      const cases: [number, number][] = [
        [0, 1],
        [0, 100],
        [1, 1],
        [4095, 4097],
        [9_999, 1],
        [9_990, 100],
        [0, 10_000],
        [0, 10_001],
        [0, 2 ** 40],
        [9_999, 2 ** 31],
        [10_000, 1],
        [10_001, 5],
        [2 ** 40, 5],
        [0, 0],
        [5, 0],
        [10_000, 0],
      ];
      for (const [offset, length] of cases) {
        const got = await store.get("ranges/one", { range: { offset, length } });
        sameBytes(got, bytes.subarray(offset, offset + length), `range of ${length} at ${offset}`);
      }
      const many = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          store.get("ranges/one", { range: { offset: i * 200, length: 150 } }),
        ),
      );
      for (const [i, got] of many.entries()) sameBytes(got, bytes.subarray(i * 200, i * 200 + 150));
    });

    it("refuses ranges that are none", async (store) => {
      await store.put("r", text("x"));
      for (const range of [
        { offset: -1, length: 1 },
        { offset: 0, length: -1 },
        { offset: 0.5, length: 1 },
        { offset: 0, length: Number.NaN },
        { offset: 2 ** 53, length: 1 },
      ]) {
        await fails("invalid", () => store.get("r", { range }));
      }
    });

    it("holds empty objects", async (store) => {
      equal(await store.put("empty/whole", new Uint8Array(0)), "created");
      equal(await store.put("empty/streamed", streamOf([])), "created");
      for (const key of ["empty/whole", "empty/streamed"]) {
        sameBytes(await store.get(key), new Uint8Array(0));
        sameBytes(await store.get(key, { range: { offset: 0, length: 10 } }), new Uint8Array(0));
        sameBytes(await store.get(key, { range: { offset: 7, length: 10 } }), new Uint8Array(0));
      }
      deepEqual(await store.list("empty/"), [
        { key: "empty/streamed", size: 0 },
        { key: "empty/whole", size: 0 },
      ]);
    });

    it("overwrites without a condition", async (store, fixture) => {
      await withOther(fixture, async (other) => {
        for (const body of [
          text("first, the longest"),
          text("second"),
          new Uint8Array(0),
          pattern(70_000, 3),
        ]) {
          equal(await store.put("over", body), "created");
          sameBytes(await store.get("over"), body);
          sameBytes(await other.get("over"), body, "seen by another client");
          sameBytes(await other.get("over", { range: { offset: 1, length: 3 } }), body.subarray(1, 4));
          deepEqual(await store.list("over"), [{ key: "over", size: body.length }]);
        }
      });
    });

    it("keeps its bytes apart from the caller's", async (store) => {
      const given = pattern(5_000, 5);
      const kept = given.slice();
      const putting = store.put("own/whole", given);
      await putting;
      given.fill(0xee);
      sameBytes(await store.get("own/whole"), kept, "the input changed after put");
      const got = await store.get("own/whole");
      got?.fill(0x11);
      const ranged = await store.get("own/whole", { range: { offset: 10, length: 100 } });
      ranged?.fill(0x22);
      sameBytes(await store.get("own/whole"), kept, "the output changed after get");

      async function* reusing(): AsyncGenerator<Uint8Array> {
        const buffer = new Uint8Array(1000);
        for (let i = 0; i < 5; i++) {
          buffer.set(kept.subarray(i * 1000, i * 1000 + 1000));
          yield buffer;
        }
        buffer.fill(0x33);
      }
      await store.put("own/streamed", reusing());
      sameBytes(await store.get("own/streamed"), kept, "a producer that reuses its buffer");
      equal(
        given.every((b) => b === 0xee),
        true,
      );
    });

    it("deletes, and ignores absent keys", async (store, fixture) => {
      for (const key of ["d/1", "d/2", "d/3"]) await store.put(key, text(key));
      await store.get("d/2", { range: { offset: 0, length: 1 } });
      await store.delete(["d/2", "d/absent", "elsewhere/absent", "d/1"]);
      equal(await store.get("d/1"), undefined);
      equal(await store.get("d/2"), undefined);
      sameBytes(await store.get("d/3"), text("d/3"));
      deepEqual(keysOf(await store.list("d/")), ["d/3"]);
      await store.delete([]);
      await store.delete(["d/2"]);
      await store.delete(["d/3"]);
      deepEqual(await store.list(""), []);
      equal(await store.put("d/3", text("again")), "created");
      await withOther(fixture, async (other) => sameBytes(await other.get("d/3"), text("again")));
    });

    it("lists in byte order, by prefix", async (store) => {
      const keys = [
        "a-b",
        "a/b",
        "a/b-c",
        "a/b.c",
        "a0",
        "a/c/1",
        "a/c/2",
        "a/c-",
        "b",
        "a/d",
        "a/d0/x",
        "a/e/e",
      ];
      for (const key of shuffled(keys)) await store.put(key, text(key));
      const sorted = [...keys].sort();
      deepEqual(
        await store.list(""),
        sorted.map((key) => ({ key, size: key.length })),
      );
      for (const prefix of [
        "a",
        "a/",
        "a/b",
        "a/c",
        "a/c/",
        "a/c/1",
        "a/c/1x",
        "a/d",
        "a-",
        "c",
        "b",
        "b/",
      ]) {
        deepEqual(
          keysOf(await store.list(prefix)),
          sorted.filter((key) => key.startsWith(prefix)),
        );
      }
    });

    it("lists after a key, and up to a limit", async (store) => {
      const keys = ["p/a", "p/b/1", "p/b/2", "p/b/3", "p/b-", "p/c", "p/d/x/y", "q/a"];
      for (const key of shuffled(keys)) await store.put(key, text("12"));
      const sorted = [...keys].sort();
      const starts = [
        ...sorted,
        "p",
        "p/",
        "p/b",
        "p/b/",
        "p/b/0",
        "p/b/15",
        "p/d/x",
        "p/d/x/",
        "p/zzz",
        "zz",
        "0",
      ];
      for (const prefix of ["", "p/", "p/b/", "q"]) {
        for (const startAfter of starts) {
          const expected = sorted.filter((key) => key.startsWith(prefix) && key > startAfter);
          deepEqual(
            keysOf(await store.list(prefix, { startAfter })),
            expected,
            `${prefix} after ${startAfter}`,
          );
          for (const limit of [0, 1, 2]) {
            deepEqual(keysOf(await store.list(prefix, { startAfter, limit })), expected.slice(0, limit));
          }
        }
      }
      await fails("invalid", () => store.list("", { limit: -1 }));
    });

    it("lists more than one page", async (store) => {
      const keys = Array.from({ length: manyObjects }, (_, i) => `many/${String(i).padStart(6, "0")}`);
      await inBatches(shuffled(keys), 32, (key) => store.put(key, text("1")));
      deepEqual(keysOf(await store.list("many/")), keys.slice(0, 1000), "the default limit is 1000");
      deepEqual(keysOf(await store.list("many/", { limit: manyObjects * 2 })), keys);
      deepEqual(keysOf(await store.list("many/", { limit: 1 })), keys.slice(0, 1));
      const paged: string[] = [];
      for (;;) {
        const last = paged.at(-1);
        const page = await store.list("many/", {
          limit: 301,
          ...(last === undefined ? {} : { startAfter: last }),
        });
        paged.push(...keysOf(page));
        if (page.length < 301) break;
      }
      deepEqual(paged, keys);
      await store.delete(keys);
      deepEqual(await store.list(""), []);
    });

    it("holds odd keys", async (store) => {
      for (const key of ODD_KEYS) equal(await store.put(key, text(`<${key}>`)), "created", key);
      for (const key of ODD_KEYS) sameBytes(await store.get(key), text(`<${key}>`), key);
      await store.delete(ODD_KEYS);
      for (const key of ODD_KEYS) equal(await store.get(key), undefined);
    });

    it("lists odd keys in byte order", async (store) => {
      for (const key of shuffled(ODD_KEYS)) await store.put(key, text("1"));
      deepEqual(keysOf(await store.list("")), [...ODD_KEYS].sort(byUtf8));
      for (const prefix of ["deep/a/a", "tags/", "tags/\u{1f4c4}", "%", ".", "a"]) {
        const expected = ODD_KEYS.filter((key) => key.startsWith(prefix)).sort(byUtf8);
        deepEqual(keysOf(await store.list(prefix)), expected);
        deepEqual(keysOf(await store.list(prefix, { startAfter: expected[0] ?? "" })), expected.slice(1));
      }
    });

    it("holds keys whose parts are longer than a file name", async (store) => {
      for (const key of shuffled(LONG_KEYS)) equal(await store.put(key, text(`<${key}>`)), "created", key);
      for (const key of LONG_KEYS) sameBytes(await store.get(key), text(`<${key}>`), key);
      const sorted = [...LONG_KEYS].sort(byUtf8);
      deepEqual(keysOf(await store.list("")), sorted);
      const prefix = "long/01234567890";
      deepEqual(
        keysOf(await store.list(prefix)),
        sorted.filter((key) => key.startsWith(prefix)),
      );
      await store.delete(LONG_KEYS);
      deepEqual(await store.list(""), []);
    });

    it("refuses keys that are none", async (store) => {
      const bad = [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        "a/..",
        "a\\b",
        "a\u0000b",
        "a\nb",
        "\u007f",
      ];
      bad.push("\u0085x", "a\ud800", "\udc00b", "x".repeat(901), "\u65e5".repeat(301));
      for (const key of bad) {
        await fails("invalid", () => store.get(key));
        await fails("invalid", () => store.put(key, text("x")));
        await fails("invalid", () => store.delete([key]));
      }
      for (const prefix of ["/", "a//", "../", "a\u0000"]) await fails("invalid", () => store.list(prefix));
      deepEqual(await store.list(""), []);
    });

    it("streams small bodies", async (store) => {
      const bytes = pattern(300_000, 7);
      await store.put("streamed", streamOf(pieces(bytes, 777)));
      sameBytes(await store.get("streamed"), bytes);
      equal(await store.put("streamed", streamOf([text("shorter")])), "created");
      sameBytes(await store.get("streamed"), text("shorter"));
    });

    it("streams large bodies within bounded memory", async (store) => {
      const before = memoryInUse();
      let peak = before;
      const chunkBytes = 262_144;
      const chunks = Math.ceil(largeBytes / chunkBytes);
      async function* large(): AsyncGenerator<Uint8Array> {
        for (let i = 0; i < chunks; i++) {
          yield pattern(i === chunks - 1 ? largeBytes - i * chunkBytes : chunkBytes, i);
          peak = Math.max(peak, memoryInUse());
        }
      }
      await store.put("large", large());
      if (largeMemoryLimit !== undefined) {
        check(peak - before <= largeMemoryLimit, `memory grew by ${Math.round((peak - before) / 1024)} KiB`);
      }
      deepEqual(await store.list("large"), [{ key: "large", size: largeBytes }]);
      for (const i of [0, 1, Math.floor(chunks / 2), chunks - 1]) {
        const expected = pattern(i === chunks - 1 ? largeBytes - i * chunkBytes : chunkBytes, i);
        const got = await store.get("large", { range: { offset: i * chunkBytes, length: chunkBytes } });
        sameBytes(got, expected, `chunk ${i} of the large object`);
      }
      equal((await store.get("large"))?.length, largeBytes);
    });

    for (const [size, afterBytes] of [
      ["small", 5_000],
      ["large", 20_000_000],
    ] as const) {
      it(`invariant 2: an interrupted ${size} write leaves nothing`, async (store, fixture) => {
        const broken = new Error("the source broke");
        async function* breaking(): AsyncGenerator<Uint8Array> {
          for (let sent = 0; sent < afterBytes; sent += 1_000_000)
            yield new Uint8Array(Math.min(1_000_000, afterBytes));
          throw broken;
        }
        await store.put("kept", text("before"));
        const [fresh, over] = await Promise.allSettled([
          store.put("i/new", breaking()),
          store.put("kept", breaking()),
        ]);
        check(fresh.status === "rejected" && over.status === "rejected", "a broken stream must fail the put");
        check(
          fresh.reason === broken || (fresh.reason as Error).cause === broken,
          `the source's error must come through, got ${String(fresh.reason)}`,
        );
        equal(await store.get("i/new"), undefined);
        sameBytes(await store.get("kept"), text("before"));
        deepEqual(keysOf(await store.list("")), ["kept"]);
        await withOther(fixture, async (other) => deepEqual(keysOf(await other.list("")), ["kept"]));
      });
    }

    it("honours aborted signals", async (store) => {
      const signal = AbortSignal.abort(new Error("enough"));
      await store.put("s", text("x"));
      await fails("aborted", () => store.get("s", { signal }));
      await fails("aborted", () => store.put("s2", text("x"), { signal }));
      await fails("aborted", () => store.list("", { signal }));
      await fails("aborted", () => store.delete(["s"], { signal }));
      deepEqual(keysOf(await store.list("")), ["s"]);
    });

    it("an aborted streamed write leaves nothing", async (store) => {
      const controller = new AbortController();
      let closed = false;
      async function* endless(): AsyncGenerator<Uint8Array> {
        try {
          for (let i = 0; i < 200; i++) {
            if (i === 12) controller.abort();
            yield new Uint8Array(1_000_000);
          }
        } finally {
          closed = true;
        }
      }
      await fails("aborted", () => store.put("endless", endless(), { signal: controller.signal }));
      check(closed, "the source must be closed when the write is given up");
      deepEqual(await store.list(""), []);
    });

    itConditional("creates if absent, once", async (store, fixture) => {
      equal(await store.put("c/1", text("first"), { ifAbsent: true }), "created");
      equal(await store.put("c/1", text("second"), { ifAbsent: true }), "exists");
      sameBytes(await store.get("c/1"), text("first"));
      await withOther(fixture, async (other) => {
        equal(await other.put("c/1", text("third"), { ifAbsent: true }), "exists");
        equal(await other.put("c/2", text("theirs"), { ifAbsent: true }), "created");
      });
      equal(await store.put("c/2", text("ours"), { ifAbsent: true }), "exists");
      sameBytes(await store.get("c/2"), text("theirs"));
      await store.delete(["c/1"]);
      equal(await store.put("c/1", text("anew"), { ifAbsent: true }), "created");
      equal(await store.put("c/1", text("over")), "created");
      sameBytes(await store.get("c/1"), text("over"));
    });

    itConditional("invariant 5: of racing creators exactly one wins", async (store, fixture) => {
      await withOther(fixture, async (other) => {
        for (let round = 0; round < 8; round++) {
          const key = `race/${round}`;
          const bodies = Array.from({ length: 16 }, (_, i) => pattern(2_000 + i, round * 16 + i));
          const outcomes = await Promise.all(
            bodies.map((body, i) => (i % 2 === 0 ? store : other).put(key, body, { ifAbsent: true })),
          );
          equal(outcomes.filter((outcome) => outcome === "created").length, 1, `winners of round ${round}`);
          sameBytes(await other.get(key), bodies[outcomes.indexOf("created")] ?? text("nobody"));
        }
        // Equal bytes do not make two winners either.
        const same = await Promise.all(
          Array.from({ length: 8 }, () => store.put("race/same", text("same"), { ifAbsent: true })),
        );
        equal(same.filter((outcome) => outcome === "created").length, 1, "winners with equal bytes");
      });
    });

    itConditional("refuses a conditional create of a stream", async (store) => {
      await fails("invalid", () => store.put("cs", streamOf([text("x")]), { ifAbsent: true }));
      equal(await store.get("cs"), undefined);
    });

    it("is writable exactly if it honours conditional creation", async (store) => {
      const honoured = await probeConditionalCreate(store, systemRuntime);
      if (store.capabilities.conditionalCreate !== "unknown") {
        equal(honoured, store.capabilities.conditionalCreate === "yes");
      }
      if (honoured) await assertWritable(store, systemRuntime);
      else await fails("forbidden", () => assertWritable(store, systemRuntime));
      deepEqual(await store.list(""), [], "the probe cleans up");
    });

    it("closes more than once", async (store) => {
      await store.put("x", text("x"));
      await store.get("x", { range: { offset: 0, length: 1 } });
      await store.close();
      await store.close();
    });
  });
}

type Skip = (reason: string) => void;

/** vitest's `skip` throws, node:test's and mocha's returns: both end the case here. */
function skipCase(context: unknown, reason: string): void {
  const skip = (context as { skip?: (reason: string) => void } | undefined)?.skip;
  if (skip === undefined) throw new Error(`cannot skip here: ${reason}`);
  skip.call(context, reason);
}

async function withOther(fixture: StoreFixture, body: (other: ObjectStore) => Promise<void>): Promise<void> {
  if (fixture.reopen === undefined) return body(fixture.store);
  const other = await fixture.reopen();
  try {
    await body(other);
  } finally {
    await other.close();
  }
}

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

function equal(actual: unknown, expected: unknown, what = "value"): void {
  check(Object.is(actual, expected), `${what}: expected ${String(expected)}, got ${String(actual)}`);
}

function deepEqual(actual: unknown, expected: unknown, what = "value"): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  check(a === b, `${what}: expected ${b.slice(0, 2000)}, got ${a.slice(0, 2000)}`);
}

function sameBytes(actual: Uint8Array | undefined, expected: Uint8Array, what = "bytes"): void {
  check(actual !== undefined, `${what}: the object is absent`);
  check(
    actual.length === expected.length,
    `${what}: expected ${expected.length} bytes, got ${actual.length}`,
  );
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] !== expected[i])
      throw new Error(`${what}: byte ${i} is ${actual[i]}, expected ${expected[i]}`);
  }
}

async function fails(code: PagefoldError["code"], work: () => Promise<unknown>): Promise<void> {
  let error: unknown;
  try {
    await work();
  } catch (e) {
    error = e;
  }
  check(isPagefoldError(error, code), `expected an error with code ${code}, got ${describe(error)}`);
}

function describe(error: unknown): string {
  return error instanceof PagefoldError ? `${error.code}: ${error.message}` : String(error);
}

const keysOf = (entries: readonly ListEntry[]): string[] => entries.map((entry) => entry.key);

function byUtf8(a: string, b: string): number {
  const [x, y] = [text(a), text(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    if (x[i] !== y[i]) return (x[i] ?? 0) - (y[i] ?? 0);
  }
  return x.length - y.length;
}

/** Bytes that differ by place and by seed. */
function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = (seed * 2_654_435_761 + 1) % 4_294_967_296;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

function* pieces(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function* streamOf(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

/** A fixed shuffle: every run puts in the same order, which is not the sorted one. */
function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item, i) => ({ item, rank: Math.imul(i + 1, 2_654_435_761) >>> 0 }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}

async function inBatches<T>(
  items: readonly T[],
  size: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  for (let at = 0; at < items.length; at += size) await Promise.all(items.slice(at, at + size).map(work));
}

function memoryInUse(): number {
  const memory = (globalThis as { process?: { memoryUsage?(): { rss: number } } }).process?.memoryUsage?.();
  return memory?.rss ?? 0;
}
