/** Transactions: what they see, what becomes a commit, what does not, and who waits for whom. */
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { expectSame, failure, openStore, testSeed, textBytes, WatchedStore } from "../store/support.ts";

const PAGE = 512;
let objects: MemoryObjectStore;
let store: PageStore;
let volume: Volume;

beforeEach(async () => {
  objects = new MemoryObjectStore();
  store = await openStore(objects, { settings: { transactionBytes: 4 * PAGE, readAhead: undefined } });
  volume = await store.createVolume({ pageSize: PAGE });
});

describe("what a transaction sees and leaves", () => {
  it("reads its own writes; others read nothing of them; the commit shows all", async () => {
    await volume.write(0, textBytes(3 * PAGE, 1));
    const before = await volume.read(0, 1e9);
    const tx = await volume.begin();
    await tx.write(100, textBytes(900, 2));
    const expected = before.slice();
    expected.set(textBytes(900, 2), 100);
    expectSame(await tx.read(0, 1e9), expected, "its own writes");
    expectSame(await volume.read(0, 1e9), before, "invariant 2: readers");
    const { changedPages, sequence } = tx.commit();
    expect([changedPages, sequence]).toEqual([2, 2]);
    expectSame(await volume.read(0, 1e9), expected, "after the commit");
  });

  it("regression (Graft): a rolled-back transaction makes no commit, not even an empty one", async () => {
    const tx = await volume.begin();
    await tx.write(0, textBytes(20 * PAGE, 1)); // spills
    tx.rollback();
    tx.rollback();
    expect(volume.status()).toMatchObject({ ahead: 0, pageCount: 0, byteLength: 0 });
    await failure(tx.write(0, new Uint8Array(1)), "closed");
    expect(await volume.push()).toMatchObject({ commits: 0, lsn: 0 });
    expect((await objects.list("volumes/")).length).toBe(1);
  });

  it("no commit when nothing changed: nothing written, or the same bytes", async () => {
    await volume.write(0, textBytes(3 * PAGE, 1));
    for (const work of [
      async () => {},
      async (tx: { write(o: number, b: Uint8Array): Promise<void> }) =>
        tx.write(PAGE, textBytes(3 * PAGE, 1).subarray(PAGE, 2 * PAGE)),
      async (tx: { write(o: number, b: Uint8Array): Promise<void> }) =>
        tx.write(7, textBytes(3 * PAGE, 1).subarray(7, 9)),
    ]) {
      const tx = await volume.begin();
      await work(tx);
      expect(tx.commit().sequence).toBe(undefined);
    }
    expect(volume.status().ahead).toBe(1);
  });

  it("pages that equal the snapshot's are left out", async () => {
    await volume.write(0, textBytes(3 * PAGE, 1));
    const changed = textBytes(3 * PAGE, 1);
    changed[PAGE + 3]! ^= 1;
    expect((await volume.write(0, changed)).changedPages).toBe(1);
    await volume.push();
    for await (const entry of volume.log()) expect(entry.pages).toBe(3);
  });

  it("writing whole pages fetches nothing; writing in part fetches only that page", async () => {
    await volume.write(0, textBytes(8 * PAGE, 1));
    await volume.push();
    const watched = new WatchedStore(objects);
    const settings = { readAhead: undefined, frameBytes: PAGE };
    const other = await openStore(watched.store, { runtime: watched.runtime, settings });
    const clone = await other.volume(volume.id);
    const whole = await watched.cost(() => clone.write(2 * PAGE, textBytes(2 * PAGE, 2)));
    expect(whole.requests).toEqual([]);
    const faults: number[] = [];
    clone.on("fault", ({ firstPage, lastPage }) => faults.push(firstPage, lastPage));
    await clone.write(5 * PAGE + 10, new Uint8Array([1]));
    expect(faults).toEqual([6, 6]);
  });

  it("regression (Litestream, Graft): a shrink leaves no stale page or byte behind (invariant 12)", async () => {
    await volume.write(0, textBytes(10 * PAGE, 1));
    await volume.push();
    await volume.truncate(2 * PAGE + 100);
    await volume.truncate(10 * PAGE);
    const expected = new Uint8Array(10 * PAGE);
    expected.set(textBytes(10 * PAGE, 1).subarray(0, 2 * PAGE + 100));
    expectSame(await volume.read(0, 1e9), expected, "locally");
    await volume.push();
    expectSame(await volume.read(0, 1e9), expected, "pushed");
    const clone = await (await openStore(objects)).volume(volume.id);
    expectSame(await clone.read(0, 1e9), expected, "cloned");
    await clone.hydrate();
    expect(clone.stateChecksum).toBe(volume.stateChecksum);
  });

  it("regression (Graft): a reader sees nothing past the end", async () => {
    await volume.write(0, textBytes(10 * PAGE, 1));
    await volume.push();
    await volume.truncate(3 * PAGE);
    await volume.push();
    expect((await volume.read(3 * PAGE, 100)).length).toBe(0);
    const snapshot = volume.snapshot();
    const into = new Uint8Array(PAGE).fill(9);
    expect(snapshot.tryRead(5 * PAGE, into)).toBe(true);
    expect(into.every((byte) => byte === 0)).toBe(true);
    snapshot.close();
  });

  it("a write that fails in the middle leaves no bytes past the end", async () => {
    await volume.write(0, textBytes(100, 1));
    const tx = await volume.begin();
    await failure(tx.write(Number.MAX_SAFE_INTEGER - 5, new Uint8Array(10)), "invalid");
    await failure(tx.write(-1, new Uint8Array(1)), "invalid");
    await failure(tx.truncate(2 ** 52), "invalid");
    expect(tx.commit().sequence).toBe(undefined);
  });
});

describe("conflicts and the writer's queue", () => {
  it("regression (Graft): a conflict does not leak the writer's place", async () => {
    await volume.write(0, textBytes(PAGE, 1));
    const stale = volume.snapshot();
    await volume.write(0, textBytes(PAGE, 2));
    for (let i = 0; i < 3; i++) await failure(volume.begin({ snapshot: stale }), "conflict");
    expect((await volume.write(0, textBytes(PAGE, 3))).sequence).toBe(3);
  });

  it("a snapshot stays good over a push, not over a pull or reset", async () => {
    await volume.write(0, textBytes(PAGE, 1));
    const snapshot = volume.snapshot();
    await volume.push();
    const tx = await volume.begin({ snapshot });
    await tx.write(0, textBytes(10, 5));
    expect(tx.commit().sequence).toBe(2);
    const after = volume.snapshot();
    await volume.reset();
    await failure(volume.begin({ snapshot: after }), "conflict");
  });

  it("writers take turns in the order in which they came", async () => {
    const order: number[] = [];
    const first = await volume.begin();
    const waiting = [1, 2, 3, 4].map(async (n) => {
      const tx = await volume.begin();
      order.push(n);
      await tx.write(n * PAGE, textBytes(PAGE, n));
      tx.commit();
    });
    await Promise.resolve();
    expect(order).toEqual([]);
    first.rollback();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 3, 4]);
    expect(volume.status().ahead).toBe(4);
  });

  it("a transaction that goes out of scope is rolled back and lets the next one in", async () => {
    const tx = await volume.begin();
    await tx.write(0, textBytes(PAGE, 1));
    tx[Symbol.dispose]();
    tx[Symbol.dispose]();
    expect(volume.status().ahead).toBe(0);
    (await volume.begin()).rollback();
  });

  it("whoever gives up waiting does not block those behind", async () => {
    const first = await volume.begin();
    const controller = new AbortController();
    const impatient = failure(volume.begin({ signal: controller.signal }), "aborted");
    const patient = volume.begin();
    controller.abort();
    await impatient;
    first.rollback();
    (await patient).rollback();
    await failure(volume.write(0, new Uint8Array(1), { signal: controller.signal }), "aborted");
    expect((await volume.write(0, textBytes(5, 1))).sequence).toBe(1);
  });

  it("a source that fails in the middle of a write leaves nothing and frees the place", async () => {
    async function* broken() {
      yield textBytes(5 * PAGE, 1);
      throw new Error("the source broke");
    }
    await expect(volume.write(0, broken())).rejects.toThrow("the source broke");
    expect(volume.status()).toMatchObject({ ahead: 0, byteLength: 0 });
    expect((await volume.write(0, textBytes(5, 1))).sequence).toBe(1);
  });
});

describe("snapshots", () => {
  it("closing is idempotent, and a closed snapshot says so", async () => {
    await volume.write(0, textBytes(PAGE, 1));
    const snapshot = volume.snapshot();
    snapshot.close();
    snapshot.close();
    await failure(snapshot.read(0, 1), "closed");
  });
});

describe("a transaction equals a plain buffer", () => {
  const op = fc.oneof(
    fc.record({ at: fc.nat(20 * PAGE), length: fc.nat(6 * PAGE), fill: fc.constantFrom(0, 0, 3, 200) }),
    fc.record({ size: fc.nat(20 * PAGE) }),
  );

  it("with spills, zeros, shrinks and growth, read back, committed, pushed and cloned (invariant 12)", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(op, { maxLength: 12 }), { maxLength: 3 }), async (transactions) => {
        const remote = new MemoryObjectStore();
        const settings = { transactionBytes: 3 * PAGE, readAhead: undefined };
        const pages = await openStore(remote, { settings });
        const mine = await pages.createVolume({ pageSize: PAGE });
        let content = new Uint8Array(0);
        for (const ops of transactions) {
          const tx = await mine.begin();
          for (const each of ops) {
            if ("size" in each) {
              await tx.truncate(each.size);
              const next = new Uint8Array(each.size);
              next.set(content.subarray(0, each.size));
              content = next;
            } else if (each.length > 0) {
              const bytes = new Uint8Array(each.length).fill(each.fill);
              await tx.write(each.at, bytes);
              const next = new Uint8Array(Math.max(content.length, each.at + each.length));
              next.set(content);
              next.set(bytes, each.at);
              content = next;
            }
            expectSame(await tx.read(0, 1e9), content, "in the transaction");
          }
          tx.commit();
          expectSame(await mine.read(0, 1e9), content, "committed");
        }
        await mine.push();
        expectSame(await mine.read(0, 1e9), content, "pushed");
        const clone = await (await openStore(remote)).volume(mine.id);
        expectSame(await clone.read(0, 1e9), content, "cloned");
        await clone.verify();
      }),
      { seed: testSeed, numRuns: 80 },
    );
  });
});
