/**
 * How SQLite is entered: directly where the bridge blocks, through `WebAssembly.promising` where it suspends. In an instance only one call may
 * be under way at a time, since a suspended one leaves its frames on SQLite's own stack: that is the instance's mutex.
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { Semaphore } from "../../src/base/semaphore.ts";
import { exportsOf } from "./exports.ts";
import { promising } from "./thunks.ts";

type Call = (...args: number[]) => number | Promise<number>;

/** The functions of SQLite that may read or write a file. */
export interface SqliteCalls {
  readonly open: Call;
  readonly close: Call;
  readonly exec: Call;
  readonly prepare: Call;
  readonly reset: Call;
  readonly finalize: Call;
  /** Steps to the end, or to the row at which the row function says stop. */
  readonly run: Call;
  /** What the VFS threw while the call failed whose first argument was `subject`; forgotten by asking. */
  cause(subject: number): unknown;
  /** What a read threw while such a call succeeded all the same: SQLite has kept it to itself. Forgotten by asking. */
  hiddenCause(subject: number): unknown;
}

/** What methods of the VFS threw since it was asked last. */
export interface VfsErrors {
  readonly first: unknown;
  readonly firstOfRead: unknown;
}

export const NO_ERRORS: VfsErrors = { first: undefined, firstOfRead: undefined };
const mutexes = new WeakMap<Sqlite3Static, Semaphore>();

export interface CallsOptions {
  /** `run` of the thunks. */
  readonly run: CallableFunction;
  readonly suspending: boolean;
  /** Told before each call, when nobody else is within SQLite. */
  readonly entering: () => void;
  /** Told before and after each call that may be suspended. */
  readonly onSuspendable: (suspendable: boolean) => void;
  /** What methods of the VFS threw, forgotten by this call. */
  readonly takeErrors: () => VfsErrors;
}

export function makeCalls(sqlite3: Sqlite3Static, options: CallsOptions): SqliteCalls {
  const exports = exportsOf(sqlite3);
  const causes = new Map<number, VfsErrors>();
  const take = (subject: number): VfsErrors => {
    if (!options.suspending) return options.takeErrors();
    const errors = causes.get(subject) ?? NO_ERRORS;
    causes.delete(subject);
    return errors;
  };
  const enter = options.suspending ? suspended(mutexOf(sqlite3), options, causes) : direct(options);
  return {
    open: enter(exports.sqlite3_open_v2 as Call),
    close: enter(exports.sqlite3_close_v2 as Call),
    exec: enter(exports.sqlite3_exec as Call),
    prepare: enter(exports.sqlite3_prepare_v3 as Call),
    reset: enter(exports.sqlite3_reset as Call),
    finalize: enter(exports.sqlite3_finalize as Call),
    run: enter(options.run as Call),
    cause: (subject) => take(subject).first,
    hiddenCause: (subject) => take(subject).firstOfRead,
  };
}

function mutexOf(sqlite3: Sqlite3Static): Semaphore {
  let mutex = mutexes.get(sqlite3);
  if (mutex === undefined) {
    mutex = new Semaphore(1, "the SQLite instance");
    mutexes.set(sqlite3, mutex);
  }
  return mutex;
}

function direct(options: CallsOptions): (call: Call) => Call {
  return (call) =>
    (...args) => {
      options.takeErrors();
      options.entering();
      return call(...args);
    };
}

/** Causes are taken before the next call may enter, which would leave its own. */
function suspended(
  mutex: Semaphore,
  options: CallsOptions,
  causes: Map<number, VfsErrors>,
): (call: Call) => Call {
  return (call) => {
    const promised = promising(call);
    return async (...args) => {
      const release = mutex.tryAcquire() ?? (await mutex.acquire());
      options.takeErrors();
      options.entering();
      options.onSuspendable(true);
      try {
        return await promised(...args);
      } finally {
        options.onSuspendable(false);
        const errors = options.takeErrors();
        // Those of an earlier call that nobody asked for go in any case.
        if (errors.first === undefined) causes.delete(args[0] ?? 0);
        else causes.set(args[0] ?? 0, errors);
        release();
      }
    };
  };
}
