/** What methods of a VFS threw: nothing may be thrown into SQLite, so a code goes there, and the cause is kept until somebody asks for it. */
import { NO_ERRORS, type VfsErrors } from "./calls.ts";
import { IOERR_READ } from "./codes.ts";
import { codeOf } from "./errors.ts";

export class Failures {
  #first: unknown;
  #firstOfRead: unknown;

  /** What failed first in a read since `take` was called. */
  get ofRead(): unknown {
    return this.#firstOfRead;
  }

  /** Forgotten by this call. */
  take(): VfsErrors {
    if (this.#first === undefined) return NO_ERRORS;
    const errors = { first: this.#first, firstOfRead: this.#firstOfRead };
    this.#first = undefined;
    this.#firstOfRead = undefined;
    return errors;
  }

  /** Remembers the first cause of a statement's failure: what fails after it is a consequence. Answers the code for SQLite. */
  note(error: unknown, otherwise: number): number {
    this.#first ??= error;
    if (otherwise === IOERR_READ) this.#firstOfRead ??= error;
    return codeOf(error, otherwise);
  }

  /** What `method` answers, or the code of what it throws. */
  guard(otherwise: number, method: () => number): number {
    try {
      return method();
    } catch (error) {
      return this.note(error, otherwise);
    }
  }

  /** The same for what waits. Never rejects: a rejection would be thrown into wasm. */
  async later(
    otherwise: number,
    work: () => Promise<number>,
    end: (error?: unknown) => void = () => {},
  ): Promise<number> {
    try {
      const result = await work();
      end();
      return result;
    } catch (error) {
      end(error);
      return this.note(error, otherwise);
    }
  }
}
