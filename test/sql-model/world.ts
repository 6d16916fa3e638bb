/**
 * Replicas of one volume, each with its database connection and its oracle, and what must hold whatever happens to them: a statement gives what
 * SQLite alone gives; what was committed stays; what was not is gone. The model of replication is as naive as it can be: an image of the
 * database per LSN, and one per local commit.
 */
import { expect } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { check } from "./checks.ts";
import { expectOutcome } from "./content.ts";
import { ObjectMap } from "./object-map.ts";
import { EMPTY, type Image } from "./oracle.ts";
import { Replica } from "./replica.ts";
import { type Options, type Shared, Site, type SiteOutcome } from "./site.ts";
import { push } from "./verbs.ts";

const CONFLICT = 517;
/** How a statement's failure on the way to the store or the disk shows. */
const FROM_BELOW = -1;

export class World {
  readonly shared: Shared;
  readonly replicas: Replica[] = [];
  /** images[lsn]: what was pushed as that. */
  readonly images: Image[] = [EMPTY];
  current!: Replica;
  statements = 0;
  /** Events that came to pass, by name: a test that never crashes proves nothing about crashes. */
  readonly seen = new Map<string, number>();

  private constructor(shared: Shared) {
    this.shared = shared;
  }

  static async create(
    parts: Pick<Shared, "sqlite3" | "codecs">,
    options: Options,
    opening: readonly string[],
  ): Promise<World> {
    const runtime = new SimRuntime(options.seed);
    const world = new World({ ...parts, options, runtime, objects: new ObjectMap() });
    world.current = await world.#add("a", true);
    // There is always a page 1, which says what the pragmas before it have decided.
    for (const sql of [...opening, "CREATE TABLE kept(x)"]) await world.sql(sql);
    await push(world);
    await world.#add("b", false);
    return world;
  }

  get head(): number {
    return this.images.length - 1;
  }

  note(event: string): void {
    this.seen.set(event, (this.seen.get(event) ?? 0) + 1);
  }

  async #add(name: string, create: boolean): Promise<Replica> {
    const site = await Site.open(name, this.shared, create);
    const replica = new Replica(site, this.images, this.shared.options.relaxed);
    replica.base = this.head;
    replica.site.oracle.restore(create ? EMPTY : this.images[this.head]!);
    if (create) replica.site.oracle.run(`PRAGMA page_size = ${this.shared.options.pageSize}`);
    this.replicas.push(replica);
    return replica;
  }

  // --- SQL -------------------------------------------------------------------------------------------------------------

  /** Invariant 2, seen by SQLite: the statement does what it does on SQLite alone, and commits exactly when it does there. */
  async sql(sql: string): Promise<void> {
    const replica = this.current;
    const { site } = replica;
    this.statements++;
    if (/^(BEGIN|SAVEPOINT)/.test(sql)) replica.remember();
    const found = await site.run(sql);
    if (site.files.dead) return this.#died(sql, found);
    if (found.code === FROM_BELOW) return this.#failedBelow(sql, found);
    if (found.code === CONFLICT) return this.#conflicted(sql);
    const expected = site.oracle.run(sql);
    expectOutcome(found, expected, sql);
    this.#settle(sql);
  }

  /** On both sides, outside of the program. */
  async both(sql: string): Promise<void> {
    const { site } = this.current;
    expectOutcome(await site.run(sql), site.oracle.run(sql), sql);
  }

  /** After a statement: both are in a transaction or neither is, and commits are where they should be. */
  #settle(sql: string): void {
    const replica = this.current;
    const { site } = replica;
    expect(replica.inTransaction, `${sql}: within a transaction`).toBe(site.oracle.inTransaction);
    const { ahead } = site.volume.status();
    const grown = ahead - replica.locals.length;
    if (grown > 0) {
      expect(grown, `invariant 2: ${sql}: one transaction is one commit`).toBe(1);
      expect(/^\s*(ROLLBACK|SELECT)/i.test(sql), `invariant 2: ${sql} commits nothing`).toBe(false);
      replica.committedNow();
    }
    expect(grown, `${sql}: local commits`).toBeGreaterThanOrEqual(0);
    replica.catchUp();
  }

  /** A transaction that read an old state wanted to write. */
  async #conflicted(sql: string): Promise<void> {
    const replica = this.current;
    expect(replica.stale, `invariant 5: ${sql} conflicts only where the volume has moved`).toBe(true);
    this.note("conflict");
    await this.both("ROLLBACK");
    this.#settle(sql);
    await this.#levelCounts();
  }

  /** A statement that has failed on one side may have got as far as some rows there, and what it changed last stays known. */
  async #levelCounts(): Promise<void> {
    const { site } = this.current;
    site.disarm();
    for (const sql of [
      "CREATE TABLE IF NOT EXISTS temp.last(x)",
      "REPLACE INTO temp.last(rowid) VALUES (7)",
    ]) {
      expect((await site.run(sql)).code, sql).toBe(0);
      site.oracle.run(sql);
    }
  }

  /** The store or the disk failed in the middle of a statement: it did nothing, though it may have ended its transaction. */
  async #failedBelow(sql: string, found: SiteOutcome): Promise<void> {
    const replica = this.current;
    const { site } = replica;
    const expected = site.line.failures > 0 || site.files.refused > 0;
    if (!expected) throw new Error(`${sql} failed: ${found.message}`, { cause: found.cause });
    const code = site.files.refused > 0 ? "quota" : "unavailable";
    expect(isPagefoldError(found.cause, code), `${sql}: ${found.message}`).toBe(true);
    this.note(code);
    site.line.failures = 0;
    site.files.refused = 0;
    site.disarm();
    if (!replica.inTransaction && site.oracle.inTransaction) site.oracle.run("ROLLBACK");
    this.#settle(`${sql}, which failed below SQLite`);
    await check(this, `after ${sql} failed below SQLite`);
    await this.#levelCounts();
    await this.sql(sql);
  }

  // --- crashes ---------------------------------------------------------------------------------------------------------

  /** The process died somewhere within a statement: either it has committed or it has not. */
  async #died(sql: string, found: SiteOutcome): Promise<void> {
    const replica = this.current;
    const { oracle } = replica.site;
    const acknowledged = found.code === 0;
    const before = replica.committed();
    const outcome = oracle.run(sql);
    if (acknowledged) expectOutcome(found, outcome, sql);
    const after = oracle.inTransaction ? before : oracle.image();
    this.note("death in a statement");
    await this.#restart("lost", before, after, acknowledged && !oracle.inTransaction);
  }

  async crash(power: "lost" | "kept"): Promise<void> {
    const before = this.current.committed();
    this.note(`crash, power ${power}`);
    await this.#restart(power, before, before, false);
  }

  /**
   * Invariants 2 and 3: after a crash the database is what it was after some commit, and no durable one is missing.
   * @param before the last state whose commit was acknowledged, and `after`: the one that the process died in
   */
  async #restart(power: "lost" | "kept", before: Image, after: Image, acknowledged: boolean): Promise<void> {
    const replica = this.current;
    const { site, locals } = replica;
    const known = locals.length;
    // Where it changed something, and said so.
    const committed = acknowledged && Buffer.compare(before, after) !== 0;
    await site.crash(power);
    const { ahead, lsn } = site.volume.status();
    expect(lsn, "the replica stands where it stood").toBe(replica.base);
    const least = committed && !replica.relaxed ? known + 1 : replica.durable;
    expect(ahead, "invariant 3: durable commits survive").toBeGreaterThanOrEqual(least);
    expect(ahead, "nothing appears from nowhere").toBeLessThanOrEqual(known + 1);
    if (power === "kept") expect(ahead, "what was written is there").toBeGreaterThanOrEqual(known);
    const newest = ahead > known ? after : before;
    const image = ahead < known || (known === 0 && ahead === 0) ? replica.after(ahead) : newest;
    if (image === undefined) throw new Error(`the image after ${ahead} of ${known} local commits`);
    if (ahead < known) this.note("relaxed commits lost");
    replica.restarted(ahead, image, this.shared.options.relaxed);
    site.begin(image);
    await check(this, `after a crash, power ${power}`);
  }

  /** `PRAGMA synchronous` says when a commit must be on stable storage; SQLite alone has nothing to say there. */
  async durability(level: "FULL" | "OFF" | "NORMAL"): Promise<void> {
    const replica = this.current;
    // It would be for the next one.
    if (replica.inTransaction) return;
    const found = await replica.site.run(`PRAGMA synchronous = ${level}`);
    expect(found.code, found.message).toBe(0);
    replica.setRelaxed(level !== "FULL");
  }

  async reopen(): Promise<void> {
    const replica = this.current;
    const image = replica.stale ? replica.newest() : replica.committed();
    await replica.site.reopen(image);
    replica.restarted(replica.locals.length, image, this.shared.options.relaxed);
    await check(this, "after reopening");
  }

  switch(): void {
    this.current = this.replicas[(this.replicas.indexOf(this.current) + 1) % this.replicas.length]!;
  }

  async close(): Promise<void> {
    for (const { site } of this.replicas) await site.close();
  }
}
