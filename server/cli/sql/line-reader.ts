/** Lines typed at a terminal, with editing and history by Node's readline; Ctrl-C and Ctrl-D come as such. Lines typed ahead wait for their turn. */
import { createInterface, type Interface } from "node:readline";
import { HISTORY_LINES, type History } from "./history.ts";

export type Line =
  | { readonly kind: "line"; readonly text: string }
  /** Ctrl-C: what was typed on this line is gone. */
  | { readonly kind: "interrupt" }
  /** Ctrl-D, or the terminal is gone. */
  | { readonly kind: "end" };

export interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly readableEnded?: boolean; readonly destroyed?: boolean };
  /** Where prompts and what is typed are shown. */
  readonly output: NodeJS.WritableStream;
}

export class LineReader {
  /** Called on Ctrl-C while no line is waited for: what runs is to stop. */
  onInterrupt: () => void = () => {};
  readonly #terminal: Terminal;
  readonly #history: History;
  readonly #typedAhead: Line[] = [];
  #interface: Interface | undefined;
  #deliver: ((line: Line) => void) | undefined;
  #isClosed = false;

  constructor(terminal: Terminal, history: History) {
    this.#terminal = terminal;
    this.#history = history;
  }

  /** Whether nothing can be typed any more. */
  get isOver(): boolean {
    const { input } = this.#terminal;
    return this.#isClosed || input.readableEnded === true || input.destroyed === true;
  }

  /** The next line; after "end" one may ask again, as long as the terminal is there. */
  next(prompt: string): Promise<Line> {
    const ready = this.#typedAhead.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    if (this.#interface === undefined && this.isOver) return Promise.resolve({ kind: "end" });
    this.#interface ??= this.#open();
    this.#interface.setPrompt(prompt);
    this.#interface.prompt();
    return new Promise((resolve) => {
      this.#deliver = resolve;
    });
  }

  /** Gives the terminal back; idempotent. A call of `next` that waits gets "end". */
  close(): void {
    this.#isClosed = true;
    this.#interface?.close();
  }

  #open(): Interface {
    const { input, output } = this.#terminal;
    const opened = createInterface({
      input,
      output,
      terminal: true,
      history: this.#history.newestFirst,
      historySize: HISTORY_LINES,
      removeHistoryDuplicates: true,
    });
    opened.on("line", (text) => {
      this.#history.add(text);
      this.#take({ kind: "line", text });
    });
    opened.on("SIGINT", () => this.#interrupt(opened));
    opened.on("close", () => {
      this.#interface = undefined;
      // What is said next begins a line of its own.
      if (this.#deliver !== undefined) output.write("\n");
      this.#take({ kind: "end" });
    });
    return opened;
  }

  #interrupt(opened: Interface): void {
    // Erases the line: to its end, then all before.
    opened.write(null, { ctrl: true, name: "e" });
    opened.write(null, { ctrl: true, name: "u" });
    this.#terminal.output.write("^C\n");
    this.#typedAhead.length = 0;
    if (this.#deliver === undefined) this.onInterrupt();
    else this.#take({ kind: "interrupt" });
  }

  #take(line: Line): void {
    const deliver = this.#deliver;
    this.#deliver = undefined;
    if (deliver === undefined) this.#typedAhead.push(line);
    else deliver(line);
  }
}
