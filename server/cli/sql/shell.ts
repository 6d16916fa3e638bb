/**
 * The interactive shell: lines become statements or dot commands, which run one after the other. It knows no terminal but the streams of its
 * LineReader, so that tests can type.
 */
import { abortedError, isPagefoldError } from "../../../src/base/errors.ts";
import { failureOf, failureText, usageError } from "../errors.ts";
import type { Output } from "../output.ts";
import { type DotContext, dotCommandIn, isQuit, runDotCommand } from "./dot-commands.ts";
import type { LineReader } from "./line-reader.ts";
import type { Mode } from "./modes.ts";
import { located, type Place, pushFailure } from "./remains.ts";
import { TextSink } from "./run.ts";
import { type SourcedStatement, statementsOfFile } from "./sources.ts";
import type { SqlSession } from "./sql-session.ts";
import { StatementSplitter } from "./statements.ts";
import { costText, localOnly, pushLines, summary } from "./words.ts";

export interface ShellOptions extends Place {
  readonly session: SqlSession;
  readonly reader: LineReader;
  readonly output: Output;
  readonly mode: Mode;
  /** Whether leaving pushes what was committed. */
  readonly pushes: boolean;
  /** Ends the shell wherever it is. */
  readonly signal: AbortSignal;
}

export class Shell implements DotContext {
  readonly session: SqlSession;
  readonly output: Output;
  mode: Mode;
  showsStats = true;
  readonly #options: ShellOptions;
  #splitter = new StatementSplitter();
  #inTransaction = false;
  /** A push on leaving has failed; leaving again leaves without. */
  #leavesAnyway = false;

  constructor(options: ShellOptions) {
    this.#options = options;
    this.session = options.session;
    this.output = options.output;
    this.mode = options.mode;
  }

  /** Until the user leaves. @throws `aborted` when the signal fires, the failure of the last push when that was given up */
  async run(): Promise<void> {
    const { reader, signal } = this.#options;
    for (;;) {
      const line = await reader.next(this.#prompt());
      if (signal.aborted) throw abortedError("the shell", signal.reason);
      if (line.kind === "interrupt") this.#splitter = new StatementSplitter();
      else if (line.kind === "line" && !this.#asksToQuit(line.text)) await this.#take(line.text);
      else if (await this.#leave()) return;
    }
  }

  async runFile(path: string, signal: AbortSignal): Promise<void> {
    const sink = new TextSink(this.output, this.mode);
    let ordinal = 0;
    for await (const statement of statementsOfFile(path, signal)) {
      ordinal++;
      try {
        await this.#runStatement(statement, sink, signal);
      } catch (error) {
        throw located(error, statement, ordinal);
      }
    }
  }

  #prompt(): string {
    const { pastLsn } = this.session;
    const at = pastLsn === undefined ? "" : `@${pastLsn}`;
    const prompt = `${this.#options.name}${at}${this.#inTransaction ? "*" : ""}> `;
    return this.#splitter.isMidway ? "...> ".padStart(prompt.length) : prompt;
  }

  #asksToQuit(line: string): boolean {
    return !this.#splitter.isMidway && isQuit(dotCommandIn(line) ?? "");
  }

  /** Runs what a line completes; a failure is told, and drops the rest of the line. */
  async #take(line: string): Promise<void> {
    const { reader } = this.#options;
    const interruption = new AbortController();
    const signal = AbortSignal.any([this.#options.signal, interruption.signal]);
    reader.onInterrupt = () => interruption.abort(abortedError("the statement"));
    this.#leavesAnyway = false;
    this.session.expectOld();
    try {
      const command = this.#splitter.isMidway ? undefined : dotCommandIn(line);
      if (command !== undefined) {
        await runDotCommand(command, this, signal);
        return;
      }
      const sink = new TextSink(this.output, this.mode);
      for (const statement of this.#splitter.push(`${line}\n`))
        await this.#runStatement(statement, sink, signal);
    } catch (error) {
      if (this.#options.signal.aborted) throw error;
      this.#splitter = new StatementSplitter();
      this.output.failure(failureText(failureOf(error, undefined), false));
    } finally {
      reader.onInterrupt = () => {};
      this.#inTransaction = (await this.session.status()).inTransaction;
    }
  }

  async #runStatement(statement: SourcedStatement, sink: TextSink, signal: AbortSignal): Promise<void> {
    if (statement.parameters.length > 0) {
      throw usageError(
        'statements have no parameters in the shell: write values as literals, or run pagefold sql NAME "SQL" --param VALUE',
      );
    }
    const before = await this.session.status();
    const startedAt = performance.now();
    const outcome = await this.session.run(statement, [], sink, signal);
    if (!this.showsStats) return;
    const ms = Math.round(performance.now() - startedAt);
    const after = await this.session.status();
    const cost = {
      faults: after.faults - before.faults,
      requests: after.requests - before.requests,
      bytesFetched: after.bytesFetched - before.bytesFetched,
    };
    const committed = outcome.commit === undefined ? "" : ", committed locally";
    this.output.talk(`${summary(outcome)}${committed} in ${ms} ms: ${costText(cost)}`);
  }

  /** Pushes what is to be pushed; answers whether the shell may end. */
  async #leave(): Promise<boolean> {
    const { session, output } = this;
    const { pushes, signal, reader } = this.#options;
    if (this.#splitter.isMidway) output.talk("the statement that was not finished is dropped");
    this.#splitter = new StatementSplitter();
    if (this.#inTransaction) output.talk("the transaction that was not committed is rolled back");
    if (!session.hasChanges) return true;
    if (!pushes) {
      output.talk(localOnly((await session.status()).ahead, this.#options));
      return true;
    }
    const { commits } = session;
    try {
      for (const line of pushLines(await session.push(signal))) output.talk(line);
      return true;
    } catch (error) {
      if (this.#leavesAnyway || reader.isOver || signal.aborted)
        throw pushFailure(error, commits, this.#options);
      output.failure(failureText(failureOf(error, undefined), false));
      const lost = this.#options.local === undefined ? ", and the changes are lost" : "";
      output.talk(
        `still here: .push tries again, .reset yes drops the changes; leave again to leave without a push${lost}`,
      );
      if (isPagefoldError(error)) this.#leavesAnyway = true;
      return false;
    }
  }
}
