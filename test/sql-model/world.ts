/**
 * Replicas of one volume, each with its database connection and its oracle, and what must hold whatever happens to them: a statement gives what
 * SQLite alone gives; what was committed stays; what was not is gone. The model of replication is as naive as it can be: an image of the
 * database per LSN, and one per local commit.
 */
import { expect } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { type Content, contentOf, expectBytes, expectContent, expectOutcome } from "./content.ts";
import { ObjectMap } from "./object-map.ts";
import { type Image, Oracle } from "./oracle.ts";
import { contentQueries, type OtherBuild } from "./other-build.ts";
import { type Options, type Shared, Site, type SiteOutcome } from "./site.ts";

const CONFLICT = 517;
/** How a statement's failure on the way to the store or the disk shows. */
const FROM_BELOW = -1;

/** A replica and where the model has it. */
export class Replica {
  readonly site: Site;
  base = 0;
  /** The database after each local commit, oldest first; undefined where a crash cannot lead back to it. */
  locals: (Image | undefined)[] = [];
  /** How many of them a crash must not take. */
  durable = 0;
  relaxed: boolean;
  /** Whether the volume has moved away under a transaction that reads. */
  stale = false;
  /** Before the transaction that is open. */
  #before: Image = new Uint8Array(0);

  constructor(site: Site, relaxed: boolean) {
    this.site = site;
    this.relaxed = relaxed;
  }

  get inTransaction(): boolean {
    return this.site.connection.inTransaction;
  }

  /** To be called before a statement that may begin a transaction. */
  remember(): void {
    if (!this.site.oracle.inTransaction) this.#before = this.site.oracle.image();
  }

  /** The last committed state. */
  committed(): Image {
    return this.site.oracle.inTransaction ? this.#before : this.site.oracle.image();
  }
}

export class World {
  readonly shared: Shared;
  readonly replicas: Replica[] = [];
  /** images[lsn]: what was pushed as that. */
  readonly images: Image[] = [new Uint8Array(0)];
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
    await world.push();
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
    const replica = new Replica(await Site.open(name, this.shared, create), this.shared.options.relaxed);
    replica.base = this.head;
    replica.site.oracle.restore(create ? new Uint8Array(0) : this.images[this.head]!);
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
  async #both(sql: string): Promise<void> {
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
      replica.locals.push(replica.relaxed ? site.oracle.image() : undefined);
      if (!replica.relaxed) replica.durable = replica.locals.length;
    }
    expect(grown, `${sql}: local commits`).toBeGreaterThanOrEqual(0);
    if (replica.stale && !replica.inTransaction) this.#catchUp(replica);
  }

  /** The transaction that saw an old state has ended; the next one sees where the volume has moved. */
  #catchUp(replica: Replica): void {
    replica.stale = false;
    replica.site.oracle.restore(this.#newest(replica));
  }

  #newest(replica: Replica): Image {
    const { locals, base } = replica;
    if (locals.length === 0) return this.images[base]!;
    return locals[locals.length - 1] ?? replica.committed();
  }

  /** A transaction that read an old state wanted to write. */
  async #conflicted(sql: string): Promise<void> {
    const replica = this.current;
    expect(replica.stale, `invariant 5: ${sql} conflicts only where the volume has moved`).toBe(true);
    this.note("conflict");
    await this.#both("ROLLBACK");
    this.#settle(sql);
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
    await this.check(`after ${sql} failed below SQLite`);
    // It may have got as far as some rows, and their last rowid stays known.
    for (const level of [
      "CREATE TABLE IF NOT EXISTS temp.last(x)",
      "REPLACE INTO temp.last(rowid) VALUES (7)",
    ]) {
      expect((await site.run(level)).code, level).toBe(0);
      site.oracle.run(level);
    }
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
    await site.crash(power);
    const { ahead, lsn } = site.volume.status();
    expect(lsn, "the replica stands where it stood").toBe(replica.base);
    const least = acknowledged && !replica.relaxed ? Math.min(known + 1, ahead) : replica.durable;
    expect(ahead, "invariant 3: durable commits survive").toBeGreaterThanOrEqual(least);
    expect(ahead, "nothing appears from nowhere").toBeLessThanOrEqual(known + 1);
    if (power === "kept") expect(ahead, "what was written is there").toBeGreaterThanOrEqual(known);
    let image: Image | undefined;
    if (ahead > known) image = after;
    else if (ahead === known) image = known === 0 ? this.images[replica.base]! : before;
    else image = ahead === 0 ? this.images[replica.base]! : locals[ahead - 1];
    expect(image, "the image of a commit that could be lost").toBeDefined();
    if (ahead < known) this.note("relaxed commits lost");
    replica.locals = Array.from({ length: ahead }, () => undefined);
    replica.durable = ahead;
    replica.stale = false;
    replica.relaxed = this.shared.options.relaxed;
    if (ahead > 0) replica.locals[ahead - 1] = image;
    site.begin(image!);
    await this.check(`after a crash, power ${power}`);
  }

  /** `PRAGMA synchronous` says when a commit must be on stable storage; SQLite alone has nothing to say there. */
  async durability(level: "FULL" | "OFF" | "NORMAL"): Promise<void> {
    const replica = this.current;
    // It would be for the next one.
    if (replica.inTransaction) return;
    const found = await replica.site.run(`PRAGMA synchronous = ${level}`);
    expect(found.code, found.message).toBe(0);
    replica.relaxed = level !== "FULL";
    const { locals } = replica;
    if (locals.length > 0) locals[locals.length - 1] ??= replica.committed();
  }

  async reopen(): Promise<void> {
    const replica = this.current;
    const image = replica.stale ? this.#newest(replica) : replica.committed();
    await replica.site.reopen(image);
    replica.durable = replica.locals.length;
    replica.stale = false;
    replica.relaxed = this.shared.options.relaxed;
    const { locals } = replica;
    if (locals.length > 0) locals[locals.length - 1] = image;
    await this.check("after reopening");
  }

  // --- replication -----------------------------------------------------------------------------------------------------

  async push(): Promise<"pushed" | "diverged"> {
    const replica = this.current;
    const { site } = replica;
    const image = replica.stale ? undefined : replica.committed();
    try {
      const { lsn } = await site.volume.push();
      if (replica.locals.length > 0) {
        expect(lsn, "invariant 4: the next LSN").toBe(this.head + 1);
        this.images.push(image!);
        this.note("push");
      } else {
        expect(lsn, "nothing to push").toBe(replica.base);
      }
      replica.base = lsn;
      replica.locals = [];
      replica.durable = 0;
      return "pushed";
    } catch (error) {
      if (!isPagefoldError(error, "diverged")) throw error;
      expect(replica.locals.length, "only a commit can diverge").toBeGreaterThan(0);
      expect(this.head, "invariant 5: diverged only where another's commit is").toBeGreaterThan(replica.base);
      this.note("diverged");
      return "diverged";
    }
  }

  /** Invariant 1: a transaction that has begun to read goes on seeing what it saw. */
  async pull(): Promise<void> {
    const replica = this.current;
    const { site } = replica;
    if (site.writing) return;
    // From here on the transaction has its snapshot.
    if (replica.inTransaction) await this.#both("SELECT count(*) FROM sqlite_schema");
    try {
      await site.volume.pull();
    } catch (error) {
      if (!isPagefoldError(error, "diverged")) throw error;
      expect(replica.locals.length > 0 && this.head > replica.base, "diverged").toBe(true);
      return;
    }
    if (replica.base === this.head) return;
    expect(replica.locals, "a pull over local commits").toEqual([]);
    replica.base = this.head;
    this.#moved(replica);
    this.note("pull");
  }

  async reset(): Promise<void> {
    const replica = this.current;
    const { site } = replica;
    if (site.writing) return;
    if (replica.inTransaction) await this.#both("SELECT count(*) FROM sqlite_schema");
    const { dropped } = await site.volume.reset();
    expect(dropped).toBe(replica.locals.length);
    if (dropped === 0) return;
    replica.locals = [];
    replica.durable = 0;
    this.#moved(replica);
    this.note("reset");
  }

  #moved(replica: Replica): void {
    if (replica.inTransaction) replica.stale = true;
    else replica.site.oracle.restore(this.#newest(replica));
  }

  /** Ends what is open, and brings this replica and the remote together. */
  async sync(): Promise<void> {
    const replica = this.current;
    replica.site.disarm();
    if (replica.inTransaction) await this.sql("COMMIT");
    if (replica.inTransaction) await this.sql("ROLLBACK");
    if ((await this.push()) === "diverged") await this.reset();
    await this.pull();
    await this.check("after a sync");
  }

  /** Another replica pushes something, where it can. */
  async overtake(): Promise<void> {
    const mine = this.current;
    this.switch();
    if (!this.current.inTransaction) {
      await this.pull();
      await this.sql("INSERT INTO kept VALUES (1)");
      if ((await this.push()) === "diverged") await this.reset();
    }
    this.current = mine;
  }

  /** The volume moves away under a transaction that has begun to read. */
  async overtakeReading(): Promise<void> {
    if (!this.current.inTransaction) await this.sql("BEGIN");
    await this.overtake();
    await this.pull();
  }

  /** Every page of the past that is read next is fetched, by SQLite as by the volume. */
  async forget(): Promise<void> {
    const { site } = this.current;
    site.evictAll();
    await site.run("PRAGMA shrink_memory");
  }

  switch(): void {
    this.current = this.replicas[(this.replicas.indexOf(this.current) + 1) % this.replicas.length]!;
  }

  // --- checks ----------------------------------------------------------------------------------------------------------

  /** The whole database as the connection sees it is what SQLite alone has, and sound. */
  async check(when: string): Promise<void> {
    const { site } = this.current;
    for (const sql of ["PRAGMA integrity_check", "PRAGMA foreign_key_check"])
      expectOutcome(await site.run(sql), site.oracle.run(sql), `${when}: ${sql}`);
    expectContent(await site.contentOnVfs(), await site.contentOfOracle(), when);
  }

  /** Invariant 1: what an LSN held is there for ever. */
  async checkPast(lsn: number): Promise<void> {
    const { site } = this.current;
    const found = await site.pastContent(lsn);
    expectContent(found, await this.#contentOfImage(this.images[lsn]!), `invariant 1: LSN ${lsn}`);
    this.note("past");
  }

  async #contentOfImage(image: Image): Promise<Content> {
    const oracle = new Oracle(this.shared.sqlite3, image);
    if (image.length === 0) oracle.run(`PRAGMA page_size = ${this.shared.options.pageSize}`);
    try {
      return await contentOf((sql) => oracle.run(sql));
    } finally {
      oracle.close();
    }
  }

  /** Invariant 1: a transaction of another connection sees what it saw when it began. */
  async reader(): Promise<void> {
    const { site } = this.current;
    if (site.reader === undefined) return site.openReader();
    expectContent(await site.readAgain(), site.reader.content, "invariant 1: a reader's transaction");
    await site.closeReader();
    this.note("reader");
  }

  /** Invariant 6: a replica that has fetched nothing reads what the others have. */
  async checkFresh(): Promise<Uint8Array> {
    const fresh = await Site.open(`fresh`, this.shared, false);
    try {
      const found = await fresh.contentOnVfs();
      expectContent(found, await this.#contentOfImage(this.images[this.head]!), "invariant 6: a new replica");
      return await fresh.bytes();
    } finally {
      await fresh.close();
    }
  }

  /** All replicas at one state, byte by byte. */
  async converge(): Promise<void> {
    for (const replica of [...this.replicas, ...this.replicas]) {
      this.current = replica;
      await this.sync();
    }
    const bytes = await this.checkFresh();
    for (const { site } of this.replicas)
      expectBytes(await site.bytes(), bytes, `invariants 6 and 12: all bytes of ${site.name}`);
  }

  /** The database, exported, is sound for another build of SQLite, and holds the same. To be called when all have converged. */
  async checkElsewhere(build: OtherBuild, path: string): Promise<void> {
    await this.current.site.export(path);
    const oracle = new Oracle(this.shared.sqlite3, this.images[this.head]!);
    try {
      const queries = contentQueries(oracle);
      const [integrity, ...found] = await build.ask(path, ["PRAGMA integrity_check", ...queries]);
      expect(integrity, `integrity_check of ${build.name}`).toEqual(["ok"]);
      for (const [i, query] of queries.entries()) {
        const rows = oracle.run(query).rows.map(([text]) => String(text));
        if (rows.join("\n") !== found[i]!.join("\n"))
          expect(found[i], `${build.name}: ${query}`).toEqual(rows);
      }
    } finally {
      oracle.close();
    }
    this.note("opened by another build");
  }

  async close(): Promise<void> {
    for (const { site } of this.replicas) await site.close();
  }
}
