/**
 * The file `header` of a record log: which generation is current, its salt, and how far it is known to be flushed. Two slots are
 * written in turn and flushed, the newest valid one wins, so a torn write of one leaves the other.
 */
import { PagefoldError } from "../base/errors.ts";
import type { BlockFile } from "./block-file.ts";
import { decodeLogHeader, encodeLogHeader, HEADER_SLOT_BYTES, type LogHeader } from "./record-format.ts";
import type { Xxh64 } from "./xxh64.ts";

export class LogHeaderFile {
  readonly #file: BlockFile;
  readonly #hash: Xxh64;
  readonly #slots: (LogHeader | undefined)[];
  /** Whether the file holds nothing but zeros: a log that was never created, or whose creation was cut short. */
  readonly blank: boolean;

  /** @throws `corrupt` where the file holds bytes but no valid slot */
  constructor(file: BlockFile, hash: Xxh64) {
    this.#file = file;
    this.#hash = hash;
    const bytes = new Uint8Array(2 * HEADER_SLOT_BYTES);
    file.readAt(0, bytes);
    this.#slots = [0, 1].map((i) =>
      decodeLogHeader(hash, bytes.subarray(i * HEADER_SLOT_BYTES, (i + 1) * HEADER_SLOT_BYTES), file.name),
    );
    this.blank = bytes.every((b) => b === 0);
    if (!this.blank && this.#newest() === undefined) {
      throw new PagefoldError(
        "corrupt",
        `${file.name}: both slots are damaged, so the local log cannot be read; restore the directory from a copy, or delete it and clone again (commits that were not pushed are lost with it)`,
        { details: { path: file.name } },
      );
    }
  }

  /** The newest header; undefined while the file is blank. */
  get current(): LogHeader | undefined {
    const newest = this.#newest();
    return newest === undefined ? undefined : this.#slots[newest];
  }

  /** Writes the next header over the older slot and flushes it: the atomic switch. */
  write(next: Omit<LogHeader, "sequence">): void {
    const newest = this.#newest();
    const header: LogHeader = { ...next, sequence: (this.current?.sequence ?? 0) + 1 };
    const slot = newest === 0 ? 1 : 0;
    this.#slots[slot] = undefined; // unknown until the flush succeeded
    this.#file.writeAt(slot * HEADER_SLOT_BYTES, encodeLogHeader(this.#hash, header));
    this.#file.flush();
    this.#slots[slot] = header;
  }

  /**
   * Makes both slots name the current generation. Before this has happened the other generation's records must stay: were the
   * newest slot to rot, the older one would be believed.
   */
  settle(): void {
    const current = this.current;
    if (current === undefined) return;
    if (this.#slots.every((slot) => slot?.generation === current.generation)) return;
    this.write(current);
  }

  #newest(): 0 | 1 | undefined {
    const [a, b] = this.#slots;
    if (a === undefined) return b === undefined ? undefined : 1;
    return b === undefined || a.sequence > b.sequence ? 0 : 1;
  }
}
