/**
 * Random histories (writes, shrinking, growing, zeros, restores, forks, pushes by several) with compactions of every kind in between: at every LSN of every
 * volume everybody reads what was pushed there, those who had it open before and those who come new.
 */
import { describe, expect, it } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { wantsMore } from "../more.ts";
import { expectSame, openStore, randomBytes, testSeed } from "../store/support.ts";

const PAGE = 512;

interface Line {
  readonly id: string;
  readonly volume: Volume;
  /** states[lsn]; LSNs below the first are shared with a parent, and have states, too. */
  readonly states: Uint8Array[];
}

class Histories {
  readonly objects = new MemoryObjectStore();
  readonly random: () => number;
  readonly lines: Line[] = [];
  store!: PageStore;
  done: string[] = [];

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  below(n: number): number {
    return Math.floor(this.random() * n);
  }

  async begin(): Promise<void> {
    // Small frames and many checkpoints: more of everything in little data.
    this.store = await openStore(this.objects, { settings: { frameBytes: 4 * PAGE, checkpointEvery: 4 } });
    const volume = await this.store.createVolume({ pageSize: PAGE });
    this.lines.push({ id: volume.id, volume, states: [new Uint8Array(0)] });
  }

  async step(): Promise<void> {
    const line = this.lines[this.below(this.lines.length)]!;
    const dice = this.random();
    if (dice < 0.6 || line.states.length < 3) await this.write(line);
    else if (dice < 0.68) await this.restore(line);
    else if (dice < 0.74 && this.lines.length < 3) await this.fork(line);
    else await this.compact(line);
  }

  async write({ volume, states }: Line): Promise<void> {
    this.done.push("write");
    const pages = Math.floor(states.at(-1)!.length / PAGE);
    for (let i = 0; i <= this.below(3); i++) {
      const at = this.below(pages + 20) * PAGE;
      const length = this.below(6) * PAGE + 1 + this.below(PAGE);
      const zeros = this.random() < 0.2;
      await volume.write(at, zeros ? new Uint8Array(length) : randomBytes(length, this.below(1e9)));
    }
    if (this.random() < 0.15) await volume.truncate(this.below(pages + 30) * PAGE);
    const { lsn } = await volume.push();
    states[lsn] = await volume.read(0, 1e9);
  }

  async restore({ volume, states }: Line): Promise<void> {
    const at = 1 + this.below(states.length - 1);
    this.done.push(`restore ${at}`);
    const { lsn } = await volume.restore({ at });
    states[lsn] = await volume.read(0, 1e9);
    expectSame(states[lsn]!, states[at]!, `restored ${at}`);
  }

  async fork({ volume, states, id }: Line): Promise<void> {
    const lsn = 1 + this.below(states.length - 1);
    this.done.push(`fork at ${lsn}`);
    const fork = await this.store.fork(id, { lsn });
    this.lines.push({ id: fork.id, volume: fork, states: states.slice(0, lsn + 1) });
    void volume;
  }

  async compact({ id, volume, states }: Line): Promise<void> {
    const someone = this.random() < 0.5 ? volume : await (await openStore(this.objects)).volume(id);
    const to = this.random() < 0.3 ? 1 + this.below(states.length - 1) : undefined;
    const options = {
      to,
      all: this.random() < 0.3,
      own: this.random() < 0.2,
      complete: this.random() < 0.3,
      stepBytes: this.random() < 0.3 ? 17 * PAGE : undefined,
      classify: this.random() < 0.5 ? (page: number) => (page % 5 === 0 ? 0 : 1) : undefined,
    };
    this.done.push(`compact ${JSON.stringify(options)}`);
    await someone.compact(options);
    // Whatever was read before it is read again.
    expectSame(await volume.read(0, 1e9), states.at(-1)!, "the newest");
  }

  async check(): Promise<void> {
    for (const { id, volume, states } of this.lines) {
      const fresh = await (await openStore(this.objects)).volume(id);
      for (const [lsn, state] of states.entries()) {
        for (const reader of [fresh, volume]) {
          const snapshot = await reader.at(lsn);
          expectSame(await snapshot.read(0, 1e9), state, `LSN ${lsn}`);
          snapshot.close();
        }
      }
      await fresh.verify();
      const { deadBytesAfter } = await fresh.compact({ all: true });
      expect(deadBytesAfter).toBe(0);
      const last = await (await openStore(this.objects)).volume(id);
      expectSame(await last.read(0, 1e9), states.at(-1)!, "the newest, all in order");
    }
  }
}

describe("histories with compactions", () => {
  for (let run = 0; run < (wantsMore ? 60 : 6); run++) {
    it(`read the same, run ${run}`, async () => {
      const histories = new Histories(testSeed + 31 * run);
      try {
        await histories.begin();
        for (let i = 0; i < 24; i++) await histories.step();
        await histories.check();
      } catch (error) {
        console.error(`seed ${testSeed + 31 * run}: ${histories.done.join("; ")}`);
        throw error;
      }
    });
  }
});
