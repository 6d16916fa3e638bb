/** A BlockFileSystem whose next operations fail on demand, as a disk or a kernel would. */
import { type ErrorCode, PagefoldError } from "../../src/base/errors.ts";
import type { BlockFile, BlockFileSystem } from "../../src/local/block-file.ts";

type FaultyOperation = "readAt" | "writeAt" | "truncate" | "flush";

export interface Fault {
  readonly operation: FaultyOperation;
  readonly code: ErrorCode;
  /** Only for this file. Default: any. */
  readonly file?: string;
  /** How many matching operations pass before. Default 0. */
  readonly after?: number;
  /** For a write: how many of its bytes arrive all the same. Default 0. */
  readonly arrives?: number;
  /** Fail for ever instead of once. */
  readonly sticky?: boolean;
}

export class FaultyBlockFileSystem implements BlockFileSystem {
  readonly name = "faulty";
  readonly inner: BlockFileSystem;
  readonly #faults: { fault: Fault; passes: number }[] = [];

  constructor(inner: BlockFileSystem) {
    this.inner = inner;
  }

  fail(fault: Fault): void {
    this.#faults.push({ fault, passes: fault.after ?? 0 });
  }

  heal(): void {
    this.#faults.length = 0;
  }

  async open(name: string): Promise<BlockFile> {
    const file = await this.inner.open(name);
    const check = (operation: FaultyOperation): Fault | undefined => this.#check(name, operation);
    return {
      name: file.name,
      durability: file.durability,
      size: () => file.size(),
      readAt: (offset, into) => {
        fire(check("readAt"));
        return file.readAt(offset, into);
      },
      writeAt: (offset, bytes) => {
        const fault = check("writeAt");
        if (fault?.arrives !== undefined) file.writeAt(offset, bytes.subarray(0, fault.arrives));
        fire(fault);
        file.writeAt(offset, bytes);
      },
      truncate: (size) => {
        fire(check("truncate"));
        file.truncate(size);
      },
      flush: () => {
        fire(check("flush"));
        file.flush();
      },
      durable: () => file.durable(),
      close: () => file.close(),
    };
  }

  exists(name: string): Promise<boolean> {
    return this.inner.exists(name);
  }

  remove(name: string): Promise<void> {
    return this.inner.remove(name);
  }

  list(): Promise<string[]> {
    return this.inner.list();
  }

  #check(name: string, operation: FaultyOperation): Fault | undefined {
    const at = this.#faults.findIndex(
      ({ fault }) => fault.operation === operation && (fault.file === undefined || fault.file === name),
    );
    const found = this.#faults[at];
    if (found === undefined) return undefined;
    if (found.passes-- > 0) return undefined;
    if (found.fault.sticky !== true) this.#faults.splice(at, 1);
    return found.fault;
  }
}

function fire(fault: Fault | undefined): void {
  if (fault !== undefined)
    throw new PagefoldError(fault.code, `injected ${fault.code} at ${fault.operation}`);
}
