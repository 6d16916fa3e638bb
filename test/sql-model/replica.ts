/** A replica and where the model has it: an image of the database per local commit, and which of them a crash may take. */
import type { Image } from "./oracle.ts";
import type { Site } from "./site.ts";

export class Replica {
  readonly site: Site;
  /** The LSN that it stands on. */
  base = 0;
  /** The database after each local commit, oldest first; undefined where a crash cannot lead back to it. */
  locals: (Image | undefined)[] = [];
  /** How many of them a crash must not take. */
  durable = 0;
  /** Whether commits are durable only a little later. */
  relaxed: boolean;
  /** Whether the volume has moved away under a transaction that reads. */
  stale = false;
  /** What was pushed as each LSN, by whomever. */
  readonly #images: readonly Image[];
  /** Before the transaction that is open. */
  #before: Image = new Uint8Array(0);

  constructor(site: Site, images: readonly Image[], relaxed: boolean) {
    this.site = site;
    this.#images = images;
    this.relaxed = relaxed;
  }

  get inTransaction(): boolean {
    return this.site.connection.inTransaction;
  }

  /** To be called before a statement that may begin a transaction. */
  remember(): void {
    if (!this.site.oracle.inTransaction) this.#before = this.site.oracle.image();
  }

  /** The last state that the oracle has committed. */
  committed(): Image {
    return this.site.oracle.inTransaction ? this.#before : this.site.oracle.image();
  }

  /** What the volume holds; the connection sees it with its next transaction. */
  newest(): Image {
    const { locals, base } = this;
    if (locals.length === 0) return this.#images[base]!;
    return locals[locals.length - 1] ?? this.committed();
  }

  /** What it holds where only so many local commits are left. */
  after(commits: number): Image | undefined {
    return commits === 0 ? this.#images[this.base] : this.locals[commits - 1];
  }

  /** A local commit was made: the oracle is where it leads. */
  committedNow(): void {
    this.locals.push(this.relaxed ? this.site.oracle.image() : undefined);
    if (!this.relaxed) this.durable = this.locals.length;
  }

  /** All local commits are pushed, or given up. */
  dropLocals(): void {
    this.locals = [];
    this.durable = 0;
  }

  /** From now on commits are durable at once, or not: what is there already stays known. */
  setRelaxed(relaxed: boolean): void {
    this.relaxed = relaxed;
    const { locals } = this;
    if (locals.length > 0) locals[locals.length - 1] ??= this.committed();
  }

  /** The volume has moved to another state. */
  moved(): void {
    if (this.inTransaction) this.stale = true;
    else this.site.oracle.restore(this.newest());
  }

  /** The transaction that saw an old state has ended; the next one sees where the volume has moved. */
  catchUp(): void {
    if (!this.stale || this.inTransaction) return;
    this.stale = false;
    this.site.oracle.restore(this.newest());
  }

  /** It was started again with so many local commits, all of them durable now, of which the last led to `image`. */
  restarted(commits: number, image: Image, relaxed: boolean): void {
    this.locals = Array.from({ length: commits }, () => undefined);
    if (commits > 0) this.locals[commits - 1] = image;
    this.durable = commits;
    this.stale = false;
    this.relaxed = relaxed;
  }
}
