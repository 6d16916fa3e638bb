/**
 * What surrounds every verb: it runs the verb's work with a signal, a recorder and the store it asks for, prints the result,
 * closes what was opened, and turns whatever happens into an exit code.
 */
import { isPagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { openStore } from "../../src/node/index.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import { unreachableStore } from "../../vfs/unreachable-store.ts";
import { failureOf, failureText } from "./errors.ts";
import { type CommonOptions, defined, type LocalOption } from "./options.ts";
import { Output, type Result } from "./output.ts";
import { Progress, type ProgressUnit } from "./progress.ts";
import { watchSignals } from "./signals.ts";

/** How long the process may take to end by itself after the work is done, before it is ended. */
const lingerMs = 3000;

export class Session {
  readonly signal: AbortSignal;
  readonly output: Output;
  readonly recorder = new MemoryRecorder();
  readonly #startedAt = performance.now();
  readonly #closers: (() => void | Promise<void>)[] = [];

  constructor(signal: AbortSignal, output: Output) {
    this.signal = signal;
    this.output = output;
  }

  /** Opens the store that the options name; it is closed when the verb ends. */
  async openStore(
    options: CommonOptions & LocalOption,
    more: { readonly create?: boolean } = {},
  ): Promise<PageStore> {
    const { endpoint, region, local } = options;
    const engine = { ...defined({ local }), recorder: this.recorder };
    // Never an argument: those are seen by everybody on the machine.
    const auth = process.env.PAGEFOLD_TOKEN;
    const place = defined({ endpoint, region, auth, create: more.create });
    const store = await openStore(options.store, { ...place, ...engine }).catch((error: unknown) => {
      // What is resident, and what was committed locally, is to be had without the store.
      const isAway = local !== undefined && isPagefoldError(error, "not_found", "unavailable");
      if (!isAway) throw error;
      return openStore(unreachableStore(options.store, error), engine);
    });
    this.onEnd(() => store.close());
    return store;
  }

  /** Runs `close` when the verb ends, however it ends; the last one given runs first. */
  onEnd(close: () => void | Promise<void>): void {
    this.#closers.unshift(close);
  }

  progress(label: string, unit: ProgressUnit): Progress {
    const progress = new Progress(label, unit, { quiet: this.output.quiet });
    this.#closers.unshift(() => progress.end());
    return progress;
  }

  /** Whole milliseconds since the verb began. */
  ms(): number {
    return Math.round(performance.now() - this.#startedAt);
  }

  /** Requests that reached the store so far. */
  requests(): number {
    const kinds = ["get", "put", "list", "delete"];
    return kinds.reduce((sum, kind) => sum + this.recorder.get(`remote.${kind}.count`), 0);
  }

  /** Closes everything; the first failure is thrown after all have been tried. */
  async end(): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.#closers.splice(0)) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** The body of a verb; `failed` in its result means exit code 1 though the result is printed. */
export type Work = (session: Session) => Promise<(Result & { readonly failed?: boolean }) | undefined>;

/** Runs a verb to its exit code. */
export async function runWork(
  options: { readonly json?: true; readonly quiet?: true },
  work: Work,
): Promise<number> {
  const output = new Output({ json: options.json === true, quiet: options.quiet === true });
  const interruption = watchSignals((line) => output.talk(`pagefold: ${line}`));
  const session = new Session(interruption.signal, output);
  let exitCode = 0;
  const fail = (error: unknown): void => {
    if (exitCode !== 0) return;
    const failure = failureOf(error, interruption.exitCode());
    output.failure(failureText(failure, output.json));
    exitCode = failure.exitCode;
  };
  try {
    const result = await work(session);
    await session.end();
    if (result !== undefined) await output.result(result);
    if (result?.failed === true) exitCode = 1;
  } catch (error) {
    await session.end().catch(() => {});
    fail(error);
  } finally {
    interruption.dispose();
  }
  return exitCode;
}

/** Lets the process end with this code: by itself when nothing is open any more, by force when something lingers. */
export function endProcess(exitCode: number): void {
  process.exitCode = exitCode;
  process.stdin.destroy();
  setTimeout(() => process.exit(exitCode), lingerMs).unref();
}
