/**
 * The local files of a replica, which the model can let die in the middle of anything: the n-th change from now is the last thing that the
 * process tried, or finds the disk full. What is left after a death is for `VolatileBlockFileSystem` to say.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import type { BlockFile, BlockFileSystem } from "../../src/local/block-file.ts";
import { VolatileBlockFileSystem } from "../sim/volatile-files.ts";

export type Fate = "process dies" | "disk is full";

export class MortalFiles implements BlockFileSystem {
  readonly name = "mortal";
  readonly #files: VolatileBlockFileSystem;
  #fate: { readonly what: Fate; after: number } | undefined;
  /** Whether the process has died. */
  dead = false;
  /** How often the disk was full. */
  refused = 0;

  constructor(files = new VolatileBlockFileSystem()) {
    this.#files = files;
  }

  /** What happens to the change that comes after so many others. */
  arm(what: Fate, after: number): void {
    this.#fate = { what, after };
  }

  disarm(): void {
    this.#fate = undefined;
  }

  /** Ends the process. @param power "lost": what was not flushed may be gone, or be there in part */
  async restart(power: "lost" | "kept", random: () => number): Promise<MortalFiles> {
    this.dead = true;
    return new MortalFiles(await (power === "lost" ? this.#files.crash(random) : this.#files.kill()));
  }

  async open(name: string): Promise<BlockFile> {
    const inner = await this.#files.open(name);
    const change = (work: () => void, growing: boolean): void => {
      this.#meetFate(growing);
      work();
    };
    return {
      name: inner.name,
      durability: inner.durability,
      size: () => inner.size(),
      readAt: (offset, into) => inner.readAt(offset, into),
      writeAt: (offset, bytes) => change(() => inner.writeAt(offset, bytes), true),
      truncate: (size) => change(() => inner.truncate(size), false),
      flush: () => change(() => inner.flush(), false),
      durable: () => inner.durable(),
      close: () => inner.close(),
    };
  }

  exists(name: string): Promise<boolean> {
    return this.#files.exists(name);
  }

  remove(name: string): Promise<void> {
    return this.#files.remove(name);
  }

  list(): Promise<string[]> {
    return this.#files.list();
  }

  #meetFate(growing: boolean): void {
    if (this.dead) throw new PagefoldError("closed", "the process that had these files open is gone");
    const fate = this.#fate;
    if (fate === undefined) return;
    if (fate.what === "process dies") {
      if (fate.after-- > 0) return;
      this.dead = true;
      throw new PagefoldError("closed", "the process dies here");
    }
    if (!growing || fate.after-- > 0) return;
    this.refused++;
    throw new PagefoldError("quota", "the disk is full");
  }
}
