import { describe, expect, it } from "vitest";
import { NONE, SlotTable } from "../../src/local/slot-table.ts";
import { seededRandom, testSeed } from "./xxh64.ts";

describe("SlotTable", () => {
  it("finds exactly what a map of its insertions, removals and evictions holds", () => {
    for (const capacity of [1, 2, 7, 64, 700]) {
      const random = seededRandom(testSeed + capacity);
      const table = new SlotTable(capacity);
      /** Key by slot: an eviction shows in the slot being taken over. */
      const slots = new Map<number, string>();
      const keys: [number, number, number][] = [];
      for (let step = 0; step < 6000; step++) {
        const key: [number, number, number] =
          keys.length > 0 && random() < 0.4
            ? (keys[Math.floor(random() * keys.length)] as [number, number, number])
            : [
                Math.floor(random() * 3),
                Math.floor(random() * capacity * 2),
                1 + Math.floor(random() * 3) * 2 ** 32,
              ];
        if (keys.length < 50) keys.push(key);
        const slot = table.find(...key);
        const known = [...slots.entries()].find(([, k]) => k === key.join());
        expect(slot).toBe(known?.[0] ?? NONE);
        const dice = random();
        if (slot === NONE && dice < 0.7) {
          const taken = table.insert(...key, false);
          expect(taken).not.toBe(NONE);
          slots.set(taken, key.join());
        } else if (slot !== NONE && dice < 0.1) {
          table.remove(slot);
          slots.delete(slot);
        } else if (slot !== NONE) {
          table.touch(slot);
          expect([table.volumeOf(slot), table.pageOf(slot), table.lsnOf(slot)]).toEqual(key);
        }
        expect(table.count).toBe(slots.size);
        expect(table.frontier).toBeLessThanOrEqual(capacity);
      }
    }
  });

  it("keeps pages that are read again through a scan of many times its size", () => {
    const table = new SlotTable(100);
    for (let page = 0; page < 50; page++) table.insert(1, page, 1, false);
    for (let round = 0; round < 3; round++)
      for (let page = 0; page < 50; page++) table.touch(table.find(1, page, 1));
    for (let page = 1000; page < 6000; page++) {
      const slot = table.insert(1, page, 1, false);
      table.touch(slot); // what a scan does: read once
      if (page % 100 === 0) for (let hot = 0; hot < 50; hot++) table.touch(table.find(1, hot, 1));
    }
    for (let page = 0; page < 50; page++) expect(table.find(1, page, 1)).not.toBe(NONE);
  });

  it("lets a new working set in after the old one has gone cold", () => {
    const table = new SlotTable(100);
    for (let page = 0; page < 100; page++) table.insert(1, page, 1, false);
    for (let round = 0; round < 4; round++)
      for (let page = 0; page < 100; page++) table.touch(table.find(1, page, 1));
    for (let round = 0; round < 12; round++) {
      for (let page = 1000; page < 1060; page++) {
        const slot = table.find(1, page, 1);
        table.touch(slot === NONE ? table.insert(1, page, 1, false) : slot);
      }
    }
    let here = 0;
    for (let page = 1000; page < 1060; page++) if (table.find(1, page, 1) !== NONE) here++;
    expect(here).toBeGreaterThan(55);
  });

  it("never gives up a pinned page, and says so when nothing else is left", () => {
    const table = new SlotTable(10);
    for (let page = 0; page < 10; page++) table.setPinned(table.insert(1, page, 1, false), true);
    expect(table.insert(1, 99, 1, false)).toBe(NONE);
    table.setPinned(table.find(1, 4, 1), false);
    expect(table.insert(1, 99, 1, false)).not.toBe(NONE);
    expect(table.find(1, 4, 1)).toBe(NONE);
    expect(table.pinnedCount).toBe(9);
  });

  it("has no room where its capacity is zero", () => {
    const table = new SlotTable(0);
    expect(table.find(1, 1, 1)).toBe(NONE);
    expect(table.insert(1, 1, 1, false)).toBe(NONE);
  });

  it("does not use retired slots again, and stops growing", () => {
    const table = new SlotTable(100);
    const slots = [0, 1, 2, 3].map((page) => table.insert(1, page, 1, false));
    table.retire(slots[1] as number);
    for (let page = 10; page < 40; page++) expect(table.insert(1, page, 1, false)).not.toBe(slots[1]);
    expect(table.frontier).toBe(4);
    expect(table.count).toBe(3);
  });
});
