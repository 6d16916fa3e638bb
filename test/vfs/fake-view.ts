/**
 * A page view over the bytes of a real database file, with a residency set: pages not in it miss, a fault yields one range request
 * per page. Stands for the engine wherever only the VFS is tested.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import type { FetchPlan, PageView } from "../../src/volume/fetch-plan.ts";

export interface FakeViewOptions {
  readonly pageSize?: number;
  readonly lsn?: number;
  /** Pages (from 1) that are resident at first; default none. */
  readonly resident?: Iterable<number>;
}

export class FakeView implements PageView {
  readonly pageSize: number;
  readonly pageCount: number;
  readonly byteLength: number;
  readonly lsn: number;
  readonly bytes: Uint8Array;
  readonly resident = new Map<number, Uint8Array>();
  /** Called before every read: tests evict, throw or count here. */
  beforeRead: (offset: number, length: number) => void = () => {};
  reads = 0;
  closed = 0;

  constructor(bytes: Uint8Array, options: FakeViewOptions = {}) {
    this.bytes = bytes;
    this.pageSize = options.pageSize ?? 4096;
    this.byteLength = bytes.length;
    this.pageCount = Math.ceil(bytes.length / this.pageSize);
    this.lsn = options.lsn ?? 1;
    for (const page of options.resident ?? []) this.resident.set(page, this.#page(page));
  }

  tryRead(offset: number, into: Uint8Array): boolean {
    this.reads++;
    this.beforeRead(offset, into.length);
    for (let done = 0; done < into.length; ) {
      const page = Math.floor((offset + done) / this.pageSize) + 1;
      const start = (offset + done) % this.pageSize;
      const take = Math.min(this.pageSize - start, into.length - done);
      if (page > this.pageCount) {
        into.fill(0, done, done + take);
      } else {
        const bytes = this.resident.get(page);
        if (bytes === undefined) {
          into.fill(0xaa);
          return false;
        }
        into.set(bytes.subarray(start, start + take), done);
      }
      done += take;
    }
    return true;
  }

  *fault(offset: number, length: number): FetchPlan<void> {
    const first = Math.floor(offset / this.pageSize) + 1;
    const last = Math.min(this.pageCount, Math.ceil((offset + length) / this.pageSize));
    const wanted: number[] = [];
    for (let page = first; page <= last; page++) if (!this.resident.has(page)) wanted.push(page);
    const requests = wanted.map((page) => ({
      key: "database",
      offset: (page - 1) * this.pageSize,
      length: this.pageSize,
    }));
    const answers = yield requests;
    for (const [i, page] of wanted.entries()) {
      const bytes = answers[i];
      if (bytes === undefined) {
        throw new PagefoldError("corrupt", `page ${page} is missing from the store`, { details: { page } });
      }
      const whole = new Uint8Array(this.pageSize);
      whole.set(bytes);
      this.resident.set(page, whole);
    }
  }

  close(): void {
    this.closed++;
  }

  #page(page: number): Uint8Array {
    const whole = new Uint8Array(this.pageSize);
    whole.set(this.bytes.subarray((page - 1) * this.pageSize, page * this.pageSize));
    return whole;
  }
}
