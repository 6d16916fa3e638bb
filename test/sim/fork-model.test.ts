/**
 * Families of volumes against a plain model: two people write, push, pull, reset, restart and fork, forks of forks included, and every
 * volume holds at every LSN what the model says, for them and for whoever clones it afresh.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { expectSame, failure, openStore, testSeed } from "../store/support.ts";

const PAGE = 512;
const VOLUMES_MOST = 7;

/** One volume in the store: the bytes at every LSN. */
interface VolumeModel {
  /** Its tag. */
  readonly name: string;
  readonly states: Uint8Array[];
}

/** One person's replica of a volume. */
interface ReplicaModel {
  base: number;
  /** Bytes after each local commit. */
  locals: Uint8Array[];
}

class Person {
  store!: PageStore;
  readonly files = new MemoryBlockFileSystem();
  readonly replicas = new Map<string, ReplicaModel>();
}

const who = fc.nat(1);
const which = fc.nat(100);
const command = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("write"), who, which, at: fc.nat(7000), length: fc.nat(1500) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("truncate"), who, which, at: fc.nat(7000) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("push"), who, which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pull"), who, which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reset"), who, which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("hydrate"), who, which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart"), who }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("fork"),
      who,
      which,
      lsn: fc.option(fc.nat(30)),
      move: fc.boolean(),
    }),
  },
);
interface Command {
  readonly do: string;
  readonly who: number;
  readonly which?: number;
  readonly at?: number;
  readonly length?: number;
  readonly lsn?: number | null;
  readonly move?: boolean;
}

class Family {
  readonly objects = new MemoryObjectStore();
  readonly people = [new Person(), new Person()];
  readonly volumes: VolumeModel[] = [];
  #writes = 0;

  async start(): Promise<void> {
    for (const person of this.people) await this.#open(person);
    const [first] = this.people;
    await first!.store.createVolume({ pageSize: PAGE, tag: "v0" });
    this.volumes.push({ name: "v0", states: [new Uint8Array(0)] });
    first!.replicas.set("v0", { base: 0, locals: [] });
  }

  async #open(person: Person): Promise<void> {
    const settings = {
      memoryBytes: 24 * PAGE,
      diskBytes: 64 * 1024,
      transactionBytes: 2 * PAGE,
      compactAboveBytes: 12 * PAGE,
    };
    person.store = await openStore(this.objects, { local: { files: person.files }, settings });
  }

  async run(step: Command): Promise<void> {
    const person = this.people[step.who]!;
    if (step.do === "restart") {
      await person.store.close();
      await this.#open(person);
      for (const name of person.replicas.keys()) await this.#check(person, name);
      return;
    }
    const model = this.volumes[step.which! % this.volumes.length]!;
    const volume = await person.store.volume(model.name);
    let replica = person.replicas.get(model.name);
    if (replica === undefined) {
      replica = { base: model.states.length - 1, locals: [] };
      person.replicas.set(model.name, replica);
    }
    await this.#act(step, person, volume, model, replica);
    await this.#check(person, model.name);
  }

  async #act(
    step: Command,
    person: Person,
    volume: Volume,
    model: VolumeModel,
    replica: ReplicaModel,
  ): Promise<void> {
    const { states } = model;
    const head = states.length - 1;
    const before = replica.locals.at(-1) ?? states[replica.base]!;
    switch (step.do) {
      case "write": {
        const bytes = this.#bytes(step.length! + 8);
        const after = new Uint8Array(Math.max(before.length, step.at! + bytes.length));
        after.set(before);
        after.set(bytes, step.at!);
        await volume.write(step.at!, bytes);
        replica.locals.push(after);
        return;
      }
      case "truncate": {
        if (step.at === before.length) return;
        const after = new Uint8Array(step.at!);
        after.set(before.subarray(0, step.at));
        await volume.truncate(step.at!);
        replica.locals.push(after);
        return;
      }
      case "push": {
        if (replica.locals.length > 0 && head > replica.base) {
          await failure(volume.push(), "diverged");
          return;
        }
        expect((await volume.push()).commits).toBe(replica.locals.length);
        if (replica.locals.length === 0) return;
        states.push(replica.locals.at(-1)!);
        replica.base++;
        replica.locals = [];
        return;
      }
      case "pull": {
        if (replica.locals.length > 0 && head > replica.base) {
          await failure(volume.pull(), "diverged");
          return;
        }
        expect(await volume.pull()).toMatchObject({ from: replica.base, to: head });
        replica.base = head;
        return;
      }
      case "reset":
        expect((await volume.reset()).dropped).toBe(replica.locals.length);
        replica.locals = [];
        return;
      case "hydrate":
        await volume.hydrate();
        return;
      default:
        await this.#fork(step, person, model, replica);
    }
  }

  async #fork(step: Command, person: Person, model: VolumeModel, replica: ReplicaModel): Promise<void> {
    if (this.volumes.length === VOLUMES_MOST) return;
    const lsn = step.lsn === null ? replica.base : step.lsn! % (replica.base + 1);
    const tag = `v${this.volumes.length}`;
    const options = {
      tag,
      localCommits: step.move === true ? "move" : "leave",
      ...(step.lsn === null ? {} : { lsn }),
    } as const;
    const moves = step.move === true && replica.locals.length > 0;
    if (moves && lsn !== replica.base) {
      await failure(person.store.fork(model.name, options), "invalid");
      return;
    }
    await person.store.fork(model.name, options);
    this.volumes.push({ name: tag, states: model.states.slice(0, lsn + 1) });
    person.replicas.set(tag, { base: lsn, locals: moves ? replica.locals : [] });
    if (moves) replica.locals = [];
    await this.#check(person, tag);
  }

  /** Never the same twice, so that every write changes something. */
  #bytes(length: number): Uint8Array {
    this.#writes++;
    const bytes = new Uint8Array(length).fill(1 + (this.#writes % 200));
    new DataView(bytes.buffer).setUint32(0, this.#writes);
    return bytes;
  }

  /** What a person sees of a volume. */
  async #check(person: Person, name: string): Promise<void> {
    const { states } = this.volumes.find((each) => each.name === name)!;
    const { base, locals } = person.replicas.get(name)!;
    const volume = await person.store.volume(name);
    expect(volume.status()).toMatchObject({ lsn: base, ahead: locals.length, pendingPush: false });
    expectSame(await volume.read(0, 1e9), locals.at(-1) ?? states[base]!, "invariants 1 and 3");
  }

  /** What everybody sees, and whoever comes anew: every volume at every LSN. */
  async end(): Promise<void> {
    for (const person of this.people) {
      for (const name of person.replicas.keys()) await this.#check(person, name);
    }
    const fresh = await openStore(this.objects);
    const checksums = new Map<string, bigint>();
    for (const { name, states } of this.volumes) {
      const volume = await fresh.volume(name);
      expect(volume.status(), "invariant 4").toMatchObject({ lsn: states.length - 1, state: "clean" });
      for (const [lsn, state] of states.entries()) {
        using snapshot = await volume.at(lsn);
        expectSame(await snapshot.read(0, 1e9), state, `invariants 1 and 6: ${name} at LSN ${lsn}`);
      }
      const { commits, stateChecksum } = await volume.verify();
      expect(commits, "invariants 4 and 7").toBe(states.length - 1);
      // The family shares its digest seed: equal states have equal checksums, whoever wrote them.
      const content = Buffer.from(states.at(-1)!).toString("latin1").replace(/\0+$/, "");
      expect(checksums.get(content) ?? stateChecksum).toBe(stateChecksum);
      checksums.set(content, stateChecksum);
    }
    for (const person of this.people) await person.store.close();
  }
}

describe("families of volumes", () => {
  it("invariants 1, 3, 4, 5, 6 and 7: every volume is what a plain model says", async () => {
    let forks = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 45 }), async (steps) => {
        const family = new Family();
        await family.start();
        for (const step of steps as Command[]) await family.run(step);
        await family.end();
        forks += family.volumes.length - 1;
      }),
      { seed: testSeed, numRuns: 80 },
    );
    expect(forks).toBeGreaterThan(100);
  }, 120_000);
});
