/**
 * A volume as a database file sees it: its newest snapshot, taken anew only when the volume has moved, and the writer's turn. One per volume
 * and VFS; all connections of the VFS share it.
 */
import { isPagefoldError } from "../../src/base/errors.ts";
import type { Volume } from "../../src/store/volume.ts";
import type { PageView } from "../../src/volume/fetch-plan.ts";
import type { Snapshot } from "../../src/volume/snapshot.ts";
import type { CommitResult, Transaction } from "../../src/volume/transaction.ts";
import { timeout } from "../timeout.ts";
import { CurrentView, type Durability, type ViewSource, type ViewWriter } from "./view-source.ts";

/** Which epochs of a volume followed one another by SQLite's own commits, whichever VFS of this process made them. */
interface Lineage {
  number: number;
  epoch: number;
}

const lineages = new WeakMap<Volume, Lineage>();

export interface VolumeSourceOptions {
  readonly readOnly?: boolean;
  /** Told of each transaction that was committed through this source. */
  readonly onCommit?: (result: CommitResult) => void;
}

export class VolumeSource implements ViewSource, ViewWriter {
  readonly volume: Volume;
  readonly writer: ViewWriter | undefined;
  readonly #views: CurrentView<Snapshot>;
  readonly #lineage: Lineage;
  readonly #onCommit: ((result: CommitResult) => void) | undefined;
  #version: object;

  constructor(volume: Volume, options: VolumeSourceOptions = {}) {
    this.volume = volume;
    this.#onCommit = options.onCommit;
    this.writer = options.readOnly === true ? undefined : this;
    this.#version = volume.version;
    this.#views = new CurrentView(volume.snapshot());
    const known = lineages.get(volume);
    this.#lineage = known ?? { number: 0, epoch: volume.epoch };
    if (known === undefined) lineages.set(volume, this.#lineage);
  }

  get current(): Snapshot {
    const { volume } = this;
    if (volume.version !== this.#version) {
      this.#version = volume.version;
      this.#views.replace(volume.snapshot());
    }
    return this.#views.current;
  }

  get lineage(): number {
    const { epoch } = this.volume;
    if (epoch !== this.#lineage.epoch) {
      this.#lineage.epoch = epoch;
      this.#lineage.number++;
    }
    return this.#lineage.number;
  }

  acquire(): PageView {
    // Takes the newest view first where the volume has moved.
    void this.current;
    return this.#views.acquire();
  }

  release(view: PageView): void {
    this.#views.release(view);
  }

  same(a: PageView, b: PageView): boolean {
    return (a as Snapshot).epoch === (b as Snapshot).epoch;
  }

  tryBegin(view: PageView, durability: Durability | undefined): Transaction | undefined {
    return this.volume.tryBegin(optionsOf(view, durability));
  }

  async begin(
    view: PageView,
    durability: Durability | undefined,
    timeoutMs: number,
  ): Promise<Transaction | undefined> {
    const { signal, cancel } = timeout(timeoutMs);
    try {
      return await this.volume.begin({ ...optionsOf(view, durability), signal });
    } catch (error) {
      if (isPagefoldError(error, "aborted")) return undefined;
      throw error;
    } finally {
      cancel();
    }
  }

  committed(result: CommitResult): void {
    const { epoch } = this.volume;
    // A commit is one step; more than one means that something else came before it.
    if (epoch > this.#lineage.epoch + 1) this.#lineage.number++;
    this.#lineage.epoch = epoch;
    this.#onCommit?.(result);
  }

  close(): void {
    this.#views.close();
  }
}

function optionsOf(
  view: PageView,
  durability: Durability | undefined,
): { readonly snapshot: Snapshot; readonly durability?: Durability } {
  return { snapshot: view as Snapshot, ...(durability === undefined ? {} : { durability }) };
}
