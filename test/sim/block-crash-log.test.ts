/**
 * The record log in every state that a crash may leave: a seeded workload of appends, flushes and rewrites is recorded, each legal
 * crash state is reopened, and what comes back is compared with what was promised. Reopening is itself recorded and crashed.
 */
import { describe, expect, it } from "vitest";
import type { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { openLog, payloadOf, recordText } from "../local/log-fixture.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { RecordingBlockFileSystem } from "./block-crash.ts";

/** The records of one generation, and when what of them was promised, in recorded operations. */
interface Epoch {
  /** The first operation that could make this generation visible. */
  readonly begins: number;
  /** From here on no older generation may come back. */
  settled: number;
  readonly records: { readonly text: string; readonly issuedAt: number }[];
  /** "From operation `at` on, `count` records are durable." */
  readonly promises: { readonly at: number; readonly count: number }[];
}

interface Workload {
  readonly files: RecordingBlockFileSystem;
  readonly epochs: Epoch[];
}

async function run(seed: number, steps: number, base?: MemoryBlockFileSystem): Promise<Workload> {
  const random = seededRandom(seed);
  const files = await RecordingBlockFileSystem.over(base);
  const { log, records } = await openLog(files, { extentBytes: 2048 });
  let epoch: Epoch = {
    begins: 0,
    settled: 0,
    records: records.map((text) => ({ text, issuedAt: -1 })),
    promises: [{ at: files.position, count: records.length }],
  };
  const epochs = [epoch];
  let id = 0;
  const add = (append: (type: number, parts: readonly Uint8Array[]) => unknown, into: Epoch): void => {
    // Few sizes, so that records after a crash land exactly where lost ones lay; some equal ones.
    const payload = payloadOf(
      random() < 0.3 ? 7 : 1000 + id++,
      [0, 24, 24, 600, 1500][Math.floor(random() * 5)] ?? 0,
    );
    const type = Math.floor(random() * 4);
    into.records.push({ text: recordText(type, payload), issuedAt: files.position });
    append(type, [payload]);
  };
  for (let step = 0; step < steps; step++) {
    const dice = random();
    if (dice < 0.6) {
      add((type, parts) => log.append(type, parts), epoch);
    } else if (dice < 0.92) {
      log.flush();
      epoch.promises.push({ at: files.position, count: epoch.records.length });
    } else {
      const next: Epoch = { begins: files.position, settled: 0, records: [], promises: [] };
      log.rewrite((append) => {
        for (let n = Math.floor(random() * 4); n > 0; n--) add(append, next);
      });
      next.settled = files.position;
      next.promises.push({ at: files.position, count: next.records.length });
      epoch = next;
      epochs.push(epoch);
    }
  }
  if (random() < 0.5) {
    await log.close();
    epoch.promises.push({ at: files.position, count: epoch.records.length });
  }
  return { files, epochs };
}

/** Why `records` may not be what a crash after `issued` operations leaves; undefined where it may. */
function complaint(epochs: readonly Epoch[], issued: number, records: readonly string[]): string | undefined {
  const reasons: string[] = [];
  for (const [i, epoch] of epochs.entries()) {
    if (epoch.begins >= issued && i > 0) continue;
    if (epochs.some((later, j) => j > i && later.settled <= issued)) continue;
    const promised = Math.max(
      0,
      ...epoch.promises.filter(({ at }) => at <= issued).map(({ count }) => count),
    );
    // A generation that comes into view at all does so with everything that the rewrite put there.
    const whole = i > 0 ? (epoch.promises[0]?.count ?? 0) : 0;
    const possible = epoch.records.filter(({ issuedAt }) => issuedAt < issued).length;
    const isPrefix = records.every((text, n) => epoch.records[n]?.text === text);
    if (!isPrefix) reasons.push(`generation ${i}: not a prefix of what was appended`);
    else if (records.length < Math.max(promised, whole)) {
      reasons.push(`generation ${i}: ${records.length} records, ${Math.max(promised, whole)} were durable`);
    } else if (records.length > possible) reasons.push(`generation ${i}: records from the future`);
    else return undefined;
  }
  return reasons.join("; ");
}

const ROUNDS = 24;

describe("record log after a crash", () => {
  it("invariants 2 and 3: holds what was flushed, and of the rest a prefix", async () => {
    let states = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const seed = testSeed + round;
      const { files, epochs } = await run(seed, 14);
      for await (const state of files.crashStates({ seed, exhaustiveUpTo: 5, samples: 24, torn: 12 })) {
        states++;
        const { records, log } = await openLog(state.files, { extentBytes: 2048 });
        const wrong = complaint(epochs, state.issued, records);
        if (wrong !== undefined) expect.fail(`seed ${seed}, ${state.description}: ${wrong}`);
        // What came back is durable from now on, and new records follow it.
        log.append(9, [payloadOf(1, 24)]);
        await log.close();
        const again = await openLog(state.files, { extentBytes: 2048 });
        expect(again.records, `seed ${seed}, ${state.description}`).toEqual([
          ...records,
          recordText(9, payloadOf(1, 24)),
        ]);
      }
    }
    expect(states).toBeGreaterThan(5000);
  });

  it("invariant 11: a crash while recovering, or soon after, changes nothing of what was found", async () => {
    let states = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const seed = testSeed + 100 + round;
      const random = seededRandom(seed);
      const first = await run(seed, 10);
      for await (const state of first.files.crashStates({ seed, exhaustiveUpTo: 3, samples: 8, torn: 6 })) {
        if (random() > 0.06) continue;
        // What lay on the disk after the first crash, before recovery touches it.
        const before = (await openLog(state.files.clone())).records;
        const second = await run(seed + 7, 3, state.files);
        const [epoch] = second.epochs;
        expect(epoch?.records.slice(0, before.length).map((r) => r.text)).toEqual(before);
        // Recovery cuts and flushes; a crash in the middle of it must find the same records again.
        epoch?.promises.push({ at: 0, count: before.length });
        for await (const later of second.files.crashStates({
          seed,
          exhaustiveUpTo: 4,
          samples: 12,
          torn: 6,
        })) {
          states++;
          const { records } = await openLog(later.files);
          const wrong = complaint(second.epochs, later.issued, records);
          if (wrong !== undefined) {
            expect.fail(`seed ${seed}, ${state.description}, then ${later.description}: ${wrong}`);
          }
        }
      }
    }
    expect(states).toBeGreaterThan(2000);
  });

  it("invariant 3: makes durable what it visits, although it was a killed process that wrote it", async () => {
    const files = await RecordingBlockFileSystem.over();
    const { log } = await openLog(files, { extentBytes: 2048 });
    log.append(1, [payloadOf(1, 24)]);
    log.append(1, [payloadOf(2, 600)]);
    await files.kill();
    const { records } = await openLog(files, { extentBytes: 2048 });
    expect(records).toHaveLength(2);
    for await (const state of files.crashStates({ seed: testSeed, from: files.position })) {
      expect((await openLog(state.files)).records, state.description).toEqual(records);
    }
  });

  it("does not let a record that was cut come back behind an equal one", async () => {
    // Three records since the last flush; the middle one is lost, the last one arrived.
    const files = await RecordingBlockFileSystem.over();
    const { log } = await openLog(files, { extentBytes: 2048 });
    log.append(1, [payloadOf(1, 24)]);
    log.flush();
    log.append(1, [payloadOf(2, 24)]);
    log.append(1, [payloadOf(3, 24)]);
    let seen = 0;
    for await (const state of files.crashStates({ seed: testSeed, torn: 0, from: files.position })) {
      const found = await openLog(state.files, { extentBytes: 2048 });
      if (found.records.length !== 1) continue;
      seen++;
      found.log.append(1, [payloadOf(2, 24)]);
      found.log.flush();
      const { records } = await openLog(state.files.clone());
      expect(records).toEqual([1, 2].map((id) => recordText(1, payloadOf(id, 24))));
    }
    expect(seen).toBe(1);
  });
});
