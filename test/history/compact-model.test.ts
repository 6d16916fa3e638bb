/**
 * Random histories (writes, shrinking, growing, zeros, restores, forks, collections) with compactions of every kind in between: at every LSN that is kept of
 * every volume everybody reads what was pushed there, those who had it open before and those who come new.
 */
import { describe, expect, it } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { wantsMore } from "../more.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { expectSame, openStore, randomBytes, testSeed } from "../store/support.ts";

const PAGE = 512;

interface Line {
  readonly id: string;
  readonly volume: Volume;
  /** states[lsn], those shared with a parent included; undefined where they were collected, or may have been. */
  readonly states: (Uint8Array | undefined)[];
  /** Ancestors, and the last LSN that is shared with each. */
  readonly shares: readonly { readonly id: string; readonly lsn: number }[];
}

class Histories {
  readonly objects = new MemoryObjectStore();
  readonly runtime: SimRuntime;
  readonly random: () => number;
  readonly lines: Line[] = [];
  store!: PageStore;
  done: string[] = [];

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.runtime = new SimRuntime(seed);
  }

  below(n: number): number {
    return Math.floor(this.random() * n);
  }

  /** Small frames and many checkpoints: more of everything in little data. */
  open(): Promise<PageStore> {
    const settings = { frameBytes: 4 * PAGE, checkpointEvery: 4 };
    return openStore(this.objects, { runtime: this.runtime, settings });
  }

  /** An LSN that is kept, 1 or later. */
  kept({ states }: Line): number {
    const lsns = [...states.keys()].filter((lsn) => lsn > 0 && states[lsn] !== undefined);
    return lsns[this.below(lsns.length)]!;
  }

  async begin(): Promise<void> {
    this.store = await this.open();
    const volume = await this.store.createVolume({ pageSize: PAGE });
    this.lines.push({ id: volume.id, volume, states: [new Uint8Array(0)], shares: [] });
  }

  async step(): Promise<void> {
    const line = this.lines[this.below(this.lines.length)]!;
    const dice = this.random();
    this.runtime.advance(this.below(3_600_000));
    if (dice < 0.6 || line.states.length < 3) await this.write(line);
    else if (dice < 0.68) await this.restore(line);
    else if (dice < 0.74 && this.lines.length < 3) await this.fork(line);
    else if (dice < 0.82) await this.collect(line);
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

  async restore(line: Line): Promise<void> {
    const { volume, states } = line;
    const at = this.kept(line);
    this.done.push(`restore ${at}`);
    const { lsn } = await volume.restore({ at });
    states[lsn] = await volume.read(0, 1e9);
    expectSame(states[lsn]!, states[at]!, `restored ${at}`);
  }

  async fork(line: Line): Promise<void> {
    const { states, id, shares } = line;
    const lsn = this.kept(line);
    this.done.push(`fork at ${lsn}`);
    const fork = await this.store.fork(id, { lsn });
    const nearer = [...shares, { id, lsn }].map((each) => ({ ...each, lsn: Math.min(each.lsn, lsn) }));
    this.lines.push({ id: fork.id, volume: fork, states: states.slice(0, lsn + 1), shares: nearer });
  }

  async collect({ id, volume, states }: Line): Promise<void> {
    const someone = this.random() < 0.5 ? volume : await (await this.open()).volume(id);
    const policy = {
      all: `${1 + this.below(4)}h`,
      keep: this.random() < 0.5 ? [1 + this.below(states.length - 1)] : [],
    };
    this.done.push(`collect ${JSON.stringify(policy)}`);
    await someone.setRetention(policy);
    const { floor, kept } = await someone.collect({ graceMs: 0, lease: false });
    const stay = new Set(kept.map(({ lsn }) => lsn as number));
    for (let lsn = 1; lsn < floor.after; lsn++) if (!stay.has(lsn)) states[lsn] = undefined;
    // Forks keep where they began, and what is older only as long as the ancestor does.
    for (const line of this.lines)
      for (const share of line.shares)
        if (share.id === id) line.states.fill(undefined, 1, Math.min(share.lsn, floor.after));
  }

  async compact(line: Line): Promise<void> {
    const { id, volume, states } = line;
    const someone = this.random() < 0.5 ? volume : await (await this.open()).volume(id);
    const to = this.random() < 0.3 ? this.kept(line) : undefined;
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
      const fresh = await (await this.open()).volume(id);
      for (const [lsn, state] of states.entries()) {
        if (state === undefined) continue;
        for (const reader of [fresh, volume]) {
          const snapshot = await reader.at(lsn);
          expectSame(await snapshot.read(0, 1e9), state, `LSN ${lsn}`);
          snapshot.close();
        }
      }
      await fresh.verify();
      const { deadBytesAfter } = await fresh.compact({ all: true });
      expect(deadBytesAfter).toBe(0);
      const last = await (await this.open()).volume(id);
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
