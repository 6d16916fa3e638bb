/** The lines that were typed into the shell, kept in a file of the user's. A file that cannot be used costs the history, never the shell. */
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Where the file is by the conventions of the platform; undefined where PAGEFOLD_HISTORY is set to nothing. */
export function historyFile(
  env: Readonly<Record<string, string | undefined>>,
  home: string,
  platform: NodeJS.Platform,
): string | undefined {
  const { PAGEFOLD_HISTORY: chosen, XDG_STATE_HOME: state, LOCALAPPDATA: appData } = env;
  if (chosen !== undefined) return chosen === "" ? undefined : chosen;
  const folder =
    platform === "win32"
      ? (appData ?? join(home, "AppData", "Local"))
      : state || join(home, ".local", "state");
  return join(folder, "pagefold", "sql_history");
}

export const HISTORY_LINES = 1000;

export class History {
  readonly #path: string | undefined;
  readonly #onProblem: (message: string) => void;
  readonly #lines: string[] = [];
  #works: boolean;

  /** @param onProblem hears once that the file cannot be used */
  constructor(path: string | undefined, onProblem: (message: string) => void) {
    this.#path = path;
    this.#onProblem = onProblem;
    this.#works = path !== undefined;
    if (path !== undefined) this.#try(() => this.#load(path));
  }

  /** Newest first, as readline wants them. */
  get newestFirst(): string[] {
    return this.#lines.toReversed();
  }

  add(line: string): void {
    if (line.trim() === "" || line === this.#lines.at(-1)) return;
    this.#lines.push(line);
    if (this.#lines.length > HISTORY_LINES) this.#lines.shift();
    const path = this.#path;
    if (path !== undefined && this.#works)
      this.#try(() => appendFileSync(path, `${line}\n`, { mode: 0o600 }));
  }

  #load(path: string): void {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // Appending makes the file where there is none.
    appendFileSync(path, "", { mode: 0o600 });
    const lines = readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
    this.#lines.push(...lines.slice(-HISTORY_LINES));
    // Several shells append to it; it is cut when it has grown well beyond what is used.
    if (lines.length > 2 * HISTORY_LINES) writeFileSync(path, `${this.#lines.join("\n")}\n`);
    // What was typed may hold secrets.
    chmodSync(path, 0o600);
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#works = false;
      this.#onProblem(`the history is not kept: ${(error as Error).message}`);
    }
  }
}
