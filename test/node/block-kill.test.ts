/** The record log under SIGKILL: real processes, real files. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { FsBlockFileSystem } from "../../src/node/fs-block-file.ts";
import { openLog, payloadOf } from "../local/log-fixture.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { bundle, removeTemporary, start, temporary } from "./block-child.ts";

const ROUNDS = 16;

describe("record log under kill -9", () => {
  let script: string;
  beforeAll(async () => {
    script = await bundle("block-child-append.ts");
  });
  afterAll(removeTemporary);

  it("invariants 2 and 3: holds everything acknowledged, whole and in order", async () => {
    const random = seededRandom(testSeed);
    const directory = temporary();
    let acknowledged = 0;
    let killedAtWork = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const child = start(script, directory);
      // The moment is one of its own time, not of the clock: on a slow machine it would be killed before it had done anything.
      const acksOf = () => child.output().split("ack ").length - 1;
      const enough = 3 + Math.floor(random() * 30);
      await child.printed("ack ");
      await vi.waitUntil(() => acksOf() >= enough, { timeout: 30_000, interval: 1 });
      await new Promise((resolve) => setTimeout(resolve, random() * 5));
      child.process.kill("SIGKILL");
      expect(await child.ended, child.output()).toBe("SIGKILL");
      // The last line may be cut, whole ones are promises.
      const acks = [...child.output().matchAll(/ack (\d+)\n/g)].map((match) => Number(match[1]));
      if (acks.length > 1) killedAtWork++;
      acknowledged = Math.max(acknowledged, ...acks);

      const ids: number[] = [];
      const { log } = await openLog(new FsBlockFileSystem(directory), {
        extentBytes: 64 * 1024,
      });
      await log.close();
      const { records, log: again } = await openLog(new FsBlockFileSystem(directory));
      for (const record of records) {
        const payload = Buffer.from(record.slice(2), "latin1");
        const id = payload.readDoubleBE(0);
        ids.push(id);
        expect(payload.subarray(8).equals(payloadOf(id, (id * 389) % 9000)), `bytes of record ${id}`).toBe(
          true,
        );
      }
      await again.close();
      for (const [i, id] of ids.entries()) expect(id).toBe((ids[0] as number) + i);
      expect(ids.at(-1), `round ${round}`).toBeGreaterThanOrEqual(acknowledged);
    }
    expect(killedAtWork).toBe(ROUNDS);
    expect(acknowledged).toBeGreaterThan(ROUNDS);
  });
});
