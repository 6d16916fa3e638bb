import { describe, expect, it } from "vitest";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import type { BlockFileSystem } from "../../src/local/block-file.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { RecordingBlockFileSystem, readWhole } from "../sim/block-crash.ts";
import { FaultyBlockFileSystem } from "./faulty-files.ts";
import { openLog, payloadOf, readRef, recordText } from "./log-fixture.ts";

const code = (value: string) => expect.objectContaining({ name: "PagefoldError", code: value });

async function flip(files: BlockFileSystem, name: string, offset: number, mask = 1): Promise<void> {
  const file = await files.open(name);
  const byte = new Uint8Array(1);
  file.readAt(offset, byte);
  byte[0] = (byte[0] as number) ^ mask;
  file.writeAt(offset, byte);
  await file.close();
}

/** A log of `count` records, each flushed, left as by a crash (`clean` false) or a close. */
async function filled(files: BlockFileSystem, count: number, clean: boolean): Promise<number[]> {
  const { log } = await openLog(files);
  const positions: number[] = [];
  for (let id = 0; id < count; id++) {
    positions.push(log.append(id % 256, [payloadOf(id, 300)]).position);
    log.flush();
  }
  if (clean) await log.close();
  return positions;
}

describe("RecordLog", () => {
  it("visits after reopening what was appended, in order, with types and references", async () => {
    const files = new MemoryBlockFileSystem();
    const first = await openLog(files);
    expect(first.records).toEqual([]);
    const payloads = [0, 1, 7, 8, 9, 300, 5000, 70_000].map((length, id) => payloadOf(id, length));
    const refs = payloads.map((payload, id) =>
      first.log.append(id * 30, [payload.subarray(0, 3), payload.subarray(3)]),
    );
    first.log.flush();
    for (const [i, ref] of refs.entries()) expect(readRef(first.log, ref)).toEqual(payloads[i]);
    const { size } = first.log;
    await first.log.close();

    const second = await openLog(files);
    expect(second.records).toEqual(payloads.map((payload, id) => recordText(id * 30, payload)));
    expect(second.refs).toEqual(refs);
    expect(second.log.size).toBe(size);
    for (const [i, ref] of refs.entries()) expect(readRef(second.log, ref)).toEqual(payloads[i]);
    second.log.append(1, [payloadOf(99, 10)]);
    await second.log.close();
    expect((await openLog(files)).records).toHaveLength(refs.length + 1);
  });

  it("writes and reads records far larger than its buffer, in parts", async () => {
    const files = new MemoryBlockFileSystem();
    const { log } = await openLog(files);
    const parts = [payloadOf(1, 3_000_000), payloadOf(2, 1), payloadOf(3, 2_500_001), new Uint8Array(0)];
    log.append(1, [payloadOf(0, 10)]);
    const ref = log.append(9, parts);
    log.append(2, [payloadOf(4, 10)]);
    log.flush();
    const whole = Buffer.concat(parts);
    const into = new Uint8Array(1000);
    log.read(ref, 2_999_500, into);
    expect(into).toEqual(new Uint8Array(whole.subarray(2_999_500, 3_000_500)));
    await log.close();
    const again = await openLog(files);
    expect(again.records.map((r) => r.length)).toEqual([12, whole.length + 2, 12]);
    expect(again.records[1]).toBe(recordText(9, whole));
  });

  it("takes one write for an append and one flush for many, over space that is preallocated", async () => {
    const files = await RecordingBlockFileSystem.over();
    const { log } = await openLog(files, { extentBytes: 1024 * 1024 });
    log.append(1, [payloadOf(0, 100)]);
    log.flush();
    const before = files.position;
    const pages = [1, 2, 3, 4].map((id) => payloadOf(id, 4096));
    for (let i = 0; i < 5; i++) log.append(1, [payloadOf(5, 60), ...pages]);
    log.flush();
    log.flush();
    expect(files.operations.slice(before).map((o) => o.kind)).toEqual([...Array(5).fill("write"), "flush"]);
    expect(log.size).toBeGreaterThan(5 * 4 * 4096);
    await log.close();
    expect((await readWhole(files, "log-1")).length).toBeGreaterThan(1024 * 1024);
  });

  it("refuses a record beyond the limit, and goes on", async () => {
    const { log } = await openLog(new MemoryBlockFileSystem(), { maxRecordBytes: 1000 });
    expect(() => log.append(1, [payloadOf(1, 1001)])).toThrow(code("invalid"));
    log.append(1, [payloadOf(1, 1000)]);
    log.flush();
  });

  it("is closed once, and says so afterwards", async () => {
    const { log } = await openLog(new MemoryBlockFileSystem());
    const ref = log.append(1, [payloadOf(1, 10)]);
    await log.close();
    await log.close();
    expect(() => log.append(1, [])).toThrow(code("closed"));
    expect(() => log.flush()).toThrow(code("closed"));
    expect(() => log.read(ref, 0, new Uint8Array(1))).toThrow(code("closed"));
  });

  it("is opened once at a time, and a failed open leaves nothing open", async () => {
    const files = new MemoryBlockFileSystem();
    const { log } = await openLog(files);
    await expect(openLog(files)).rejects.toMatchObject({ code: "busy" });
    await log.close();
    await expect(
      openLog(files, {
        visit: () => {},
        xxh64: {
          xxh64: () => {
            throw new Error("no hash");
          },
        },
      }),
    ).rejects.toThrow("no hash");
    await (await openLog(files)).log.close();
  });
});

describe("RecordLog: rewrite", () => {
  it("keeps what was rewritten, drops the rest, and gives the space back", async () => {
    const files = new MemoryBlockFileSystem();
    const { log } = await openLog(files);
    const refs = Array.from({ length: 50 }, (_, id) => log.append(1, [payloadOf(id, 1000)]));
    log.flush();
    const sizeBefore = log.size;
    const kept: string[] = [];
    for (let round = 0; round < 3; round++) {
      const source = refs.splice(0);
      log.rewrite((append) => {
        for (const [i, ref] of source.entries()) {
          if (i % 2 === 1) continue;
          refs.push(append(2, [readRef(log, ref)]));
        }
      });
    }
    for (const ref of refs) kept.push(recordText(2, readRef(log, ref)));
    expect(kept).toHaveLength(7);
    expect(log.size).toBeLessThan(sizeBefore / 5);
    expect((await files.list()).sort()).toEqual(["header", "log-0", "log-1"]);
    log.append(3, [payloadOf(1, 5)]);
    await log.close();
    expect((await readWhole(files, "log-1")).length).toBe(0);
    expect((await openLog(files)).records).toEqual([...kept, recordText(3, payloadOf(1, 5))]);
  });

  it("changes nothing where the caller throws, or where space runs out", async () => {
    const files = new MemoryBlockFileSystem({ capacity: 60_000 });
    const { log } = await openLog(files);
    const expected: string[] = [];
    const add = (id: number): void => {
      log.append(1, [payloadOf(id, 1000)]);
      expected.push(recordText(1, payloadOf(id, 1000)));
    };
    for (let id = 0; id < 10; id++) add(id);
    log.flush();
    const boom = new Error("caller");
    expect(() =>
      log.rewrite((append) => {
        append(7, [payloadOf(1, 100)]);
        throw boom;
      }),
    ).toThrow(boom);
    expect(() =>
      log.rewrite((append) => {
        for (let i = 0; i < 100; i++) append(7, [payloadOf(i, 1000)]);
      }),
    ).toThrow(code("quota"));
    add(10);
    await log.close();
    const again = await openLog(files);
    expect(again.records).toEqual(expected);
    again.log.rewrite((append) => append(8, [payloadOf(5, 50)]));
    await again.log.close();
    expect((await openLog(files)).records).toEqual([recordText(8, payloadOf(5, 50))]);
  });
});

describe("RecordLog: a full disk", () => {
  it("says quota, keeps every earlier record, and goes on once there is space", async () => {
    const files = new MemoryBlockFileSystem({ capacity: 50_000 });
    const ballast = await files.open("ballast");
    ballast.truncate(20_000);
    const { log } = await openLog(files);
    const expected: string[] = [];
    let refused = 0;
    for (let id = 0; id < 100; id++) {
      try {
        log.append(1, [payloadOf(id, 777)]);
        expected.push(recordText(1, payloadOf(id, 777)));
      } catch (e) {
        expect(e).toEqual(code("quota"));
        if (refused++ === 3) ballast.truncate(0);
      }
    }
    expect(refused).toBeGreaterThan(4);
    // Nearly all of the space serves records: a preallocation that does not fit is given up.
    expect(log.size).toBeGreaterThan(46_000);
    await log.close();
    expect((await openLog(files)).records).toEqual(expected);
  });

  it("invariant 2: a write that stops within a record leaves none of it", async () => {
    for (const arrives of [1, 39, 40, 41, 100, 344, 345, 347]) {
      const memory = new MemoryBlockFileSystem();
      const files = new FaultyBlockFileSystem(memory);
      const { log } = await openLog(files, { extentBytes: 8 });
      log.append(1, [payloadOf(1, 20)]);
      log.flush();
      // The extent before the record, then the record itself.
      files.fail({ operation: "writeAt", code: "quota", file: "log-1", after: 0 });
      files.fail({ operation: "writeAt", code: "quota", file: "log-1", after: 0, arrives });
      expect(() => log.append(2, [payloadOf(2, 305)])).toThrow(code("quota"));
      const reopened = await openLog(memory.clone());
      expect(reopened.records).toEqual([recordText(1, payloadOf(1, 20))]);
      log.append(3, [payloadOf(3, 50)]);
      await log.close();
      expect((await openLog(files)).records).toEqual([
        recordText(1, payloadOf(1, 20)),
        recordText(3, payloadOf(3, 50)),
      ]);
    }
  });
});

describe("RecordLog: failures", () => {
  it.each([
    ["a failed flush", { operation: "flush", code: "unavailable" } as const],
    ["a failed write", { operation: "writeAt", code: "unavailable" } as const],
    ["a flush that runs out of space", { operation: "flush", code: "quota" } as const],
  ])("is poisoned by %s until it is reopened, and still reads", async (_, fault) => {
    const memory = new MemoryBlockFileSystem();
    const files = new FaultyBlockFileSystem(memory);
    const { log } = await openLog(files);
    const ref = log.append(1, [payloadOf(1, 100)]);
    log.flush();
    files.fail({ ...fault, file: "log-1" });
    expect(() => {
      log.append(1, [payloadOf(2, 100)]);
      log.flush();
    }).toThrow(code(fault.code));
    const poisoned = expect.objectContaining({
      code: "unavailable",
      message: expect.stringContaining("reopen"),
    });
    expect(() => log.append(1, [])).toThrow(poisoned);
    expect(() => log.flush()).toThrow(poisoned);
    expect(() => log.rewrite(() => {})).toThrow(poisoned);
    expect(readRef(log, ref)).toEqual(payloadOf(1, 100));
    await log.close();
    const again = await openLog(files);
    expect(again.records[0]).toBe(recordText(1, payloadOf(1, 100)));
    again.log.append(1, [payloadOf(3, 10)]);
    again.log.flush();
  });

  it("survives a failure at any point of a rewrite: the old records or the new ones", async () => {
    for (const operation of ["writeAt", "flush", "truncate"] as const) {
      for (let after = 0; after < 12; after++) {
        const files = new FaultyBlockFileSystem(new MemoryBlockFileSystem());
        const { log } = await openLog(files);
        const before = [1, 2, 3].map((id) => recordText(1, payloadOf(id, 500)));
        for (const id of [1, 2, 3]) log.append(1, [payloadOf(id, 500)]);
        log.flush();
        files.fail({ operation, code: "unavailable", after });
        let failed = false;
        try {
          log.rewrite((append) => {
            for (const id of [4, 5]) append(2, [payloadOf(id, 3000)]);
          });
        } catch (e) {
          expect(e).toEqual(code("unavailable"));
          failed = true;
        }
        files.heal();
        await log.close();
        const after2 = [4, 5].map((id) => recordText(2, payloadOf(id, 3000)));
        const { records, log: again } = await openLog(files);
        expect([before, after2]).toContainEqual(records);
        if (!failed) expect(records).toEqual(after2);
        await again.close();
        const sizes = [await readWhole(files, "log-0"), await readWhole(files, "log-1")].map((b) => b.length);
        expect(Math.min(...sizes), "the other generation's space is given back").toBe(0);
      }
    }
  });
});

describe("RecordLog: damage", () => {
  it("invariant 3: a flipped bit anywhere in a record that was flushed is reported, and the file kept aside", async () => {
    const files = new MemoryBlockFileSystem();
    const positions = await filled(files, 6, true);
    for (const [i, position] of positions.entries()) {
      for (const offset of [-40, -37, -36, -32, -24, -16, -8, -1, 0, 5, 150, 299]) {
        const copy = files.clone();
        await flip(copy, "log-1", position + offset, 1 << (i % 8));
        const error = await openLog(copy).then(
          () => undefined,
          (e: unknown) => e,
        );
        expect(error, `record ${i + 1}, byte ${offset}`).toMatchObject({
          code: "corrupt",
          details: { sequence: i + 1, goodRecords: i, kept: "log-1.corrupt-1" },
          message: expect.stringContaining("log-1.corrupt-1"),
        });
        expect(await readWhole(copy, "log-1.corrupt-1")).toEqual(await readWhole(copy, "log-1"));
      }
    }
  });

  it("reports again without keeping a second copy of the same bytes, and a second one of other bytes", async () => {
    const files = new MemoryBlockFileSystem();
    const [first] = await filled(files, 4, true);
    await flip(files, "log-1", first as number);
    for (let i = 0; i < 3; i++) await expect(openLog(files)).rejects.toMatchObject({ code: "corrupt" });
    expect(await files.list()).toEqual(["header", "log-0", "log-1", "log-1.corrupt-1"]);
    await flip(files, "log-1", (first as number) + 1);
    await expect(openLog(files)).rejects.toMatchObject({ details: { kept: "log-1.corrupt-2" } });
  });

  it("opens with the records before the damage when told to, and stays open-able", async () => {
    const files = new MemoryBlockFileSystem();
    const positions = await filled(files, 5, true);
    const recorder = new MemoryRecorder();
    await flip(files, "log-1", positions[2] as number);
    const cut = await openLog(files, { onDamage: "cut", recorder });
    expect(cut.records).toHaveLength(2);
    expect(recorder.get("local.log.damage_cut.count")).toBe(1);
    cut.log.append(9, [payloadOf(9, 9)]);
    await cut.log.close();
    expect((await openLog(files)).records).toEqual([...cut.records, recordText(9, payloadOf(9, 9))]);
  });

  it("reports a record that a later one vouches for, without a clean close", async () => {
    const files = new MemoryBlockFileSystem();
    const recording = await RecordingBlockFileSystem.over(files);
    const positions = await filled(recording, 5, false);
    const disk = files.clone();
    for (let i = 0; i < 4; i++) {
      const copy = disk.clone();
      await flip(copy, "log-1", positions[i] as number);
      await expect(openLog(copy), `record ${i + 1}`).rejects.toMatchObject({ code: "corrupt" });
    }
    // The last one nobody vouches for: it may as well have been torn.
    await flip(disk, "log-1", positions[4] as number);
    const recorder = new MemoryRecorder();
    expect((await openLog(disk, { recorder })).records).toHaveLength(4);
    expect(recorder.get("local.log.torn_tail.count")).toBe(1);
  });

  it("reports a log file that lost its end, or everything", async () => {
    for (const size of [0, 100, 1000]) {
      const files = new MemoryBlockFileSystem();
      await filled(files, 5, true);
      const file = await files.open("log-1");
      file.truncate(size);
      await file.close();
      await expect(openLog(files)).rejects.toMatchObject({ code: "corrupt" });
    }
  });

  it("survives any damage to one slot of the header, and reports damage to both", async () => {
    const files = new MemoryBlockFileSystem();
    await filled(files, 3, true);
    for (const slot of [0, 512]) {
      for (let byte = 0; byte < 48; byte++) {
        const copy = files.clone();
        await flip(copy, "header", slot + byte, 0x10);
        const { log, records } = await openLog(copy);
        expect(records).toHaveLength(3);
        await log.close();
        expect((await openLog(copy)).records).toHaveLength(3);
      }
    }
    const copy = files.clone();
    await flip(copy, "header", 20);
    await flip(copy, "header", 530);
    await expect(openLog(copy)).rejects.toMatchObject({ code: "corrupt" });
    const lost = files.clone();
    await lost.remove("header");
    await expect(openLog(lost)).rejects.toMatchObject({ code: "corrupt" });
  });

  it("does not fall back to an older generation when the newest header slot rots", async () => {
    const files = new MemoryBlockFileSystem();
    const { log } = await openLog(files);
    log.append(1, [payloadOf(1, 100)]);
    log.flush();
    log.rewrite((append) => append(2, [payloadOf(2, 100)]));
    await log.close();
    for (const slot of [0, 512]) {
      const copy = files.clone();
      await flip(copy, "header", slot + 9);
      expect((await openLog(copy)).records).toEqual([recordText(2, payloadOf(2, 100))]);
    }
  });

  it("does not take records inside a payload for records of the log", async () => {
    const files = new MemoryBlockFileSystem();
    const inner = new MemoryBlockFileSystem();
    await filled(inner, 5, true);
    const foreign = await readWhole(inner, "log-1");
    const { log } = await openLog(files);
    log.append(1, [payloadOf(1, 8)]);
    log.flush();
    const { position } = log.append(2, [foreign]);
    log.append(3, [payloadOf(3, 8)]);
    const disk = files.clone();
    await flip(disk, "log-1", position - 40);
    // The big record is torn; what it contains vouches for nothing.
    expect((await openLog(disk)).records).toEqual([recordText(1, payloadOf(1, 8))]);
  });
});
