/** What the file names of a session's VFS stand for: views of its own, and volumes by tag or id, each with one source for all connections. */
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import type { CommitResult } from "../../src/volume/transaction.ts";
import type { ViewSource } from "../sqlite/view-source.ts";
import { VolumeSource } from "../sqlite/volume-source.ts";

export interface SessionFilesOptions {
  readonly store: PageStore;
  readonly readOnly: boolean;
  /** A commit that SQLite made through one of the sources. */
  readonly onCommit: (volume: Volume, result: CommitResult) => void;
}

export class SessionFiles {
  readonly #options: SessionFilesOptions;
  readonly #sources = new Map<Volume, VolumeSource>();
  /** Names that no volume can have, since a tag does not begin with a dot. */
  readonly #own = new Map<string, ViewSource>();

  constructor(options: SessionFilesOptions) {
    this.#options = options;
  }

  /** A volume's newest state. */
  sourceOf(volume: Volume): VolumeSource {
    const { readOnly, onCommit } = this.#options;
    let source = this.#sources.get(volume);
    if (source === undefined) {
      source = new VolumeSource(volume, { readOnly, onCommit: (result) => onCommit(volume, result) });
      this.#sources.set(volume, source);
    }
    return source;
  }

  set(ownName: string, source: ViewSource): void {
    this.#own.set(ownName, source);
  }

  delete(ownName: string): void {
    this.#own.delete(ownName);
  }

  /** As the VFS asks: a way to open it where a volume is not open yet. */
  resolve(fileName: string): ViewSource | (() => Promise<ViewSource>) {
    const name = fileName.replace(/^\/+/, "");
    const own = this.#own.get(name);
    if (own !== undefined) return own;
    const { store } = this.#options;
    const volume = store.opened(name);
    return volume === undefined ? async () => this.sourceOf(await store.volume(name)) : this.sourceOf(volume);
  }

  close(): void {
    for (const source of this.#sources.values()) source.close();
  }
}
