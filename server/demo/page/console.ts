/** The console: a text area, its buttons, and what comes of them. Statements run one after the other; of a query the first rows are read. */

import { bytesText } from "../../bytes-text.ts";
import { StatementSplitter } from "../../cli/sql/statements.ts";
import { replace } from "../../inspect/picture/dom.ts";
import { msText, plural } from "../../inspect/picture/words.ts";
import type { ConsoleDatabase } from "./console-database.ts";
import { element } from "./elements.ts";
import { examples } from "./examples.ts";
import { RowTable } from "./rows.ts";

const ROWS_MAX = 500;

export interface ConsoleHost {
  /** undefined: it is being opened. */
  readonly database: () => ConsoleDatabase | undefined;
  /** A query begins (true) or is over. */
  readonly onRun: (running: boolean) => void;
}

export class SqlConsole {
  readonly #host: ConsoleHost;
  readonly #form = element("console", HTMLFormElement);
  readonly #sql = element("sql", HTMLTextAreaElement);
  readonly #run = element("run", HTMLButtonElement);
  readonly #stop = element("stop", HTMLButtonElement);
  readonly #outcome = element("outcome", HTMLElement);
  readonly #rows = element("rows", HTMLElement);
  #running: AbortController | undefined;

  constructor(host: ConsoleHost) {
    this.#host = host;
    this.#fillExamples(element("examples", HTMLSelectElement));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.run();
    });
    this.#sql.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      void this.run();
    });
    this.#stop.addEventListener("click", () => this.#running?.abort());
  }

  /** Whether there is a database to run on. */
  enable(isOpen: boolean): void {
    this.#run.disabled = !isOpen;
  }

  say(text: string, isError = false): void {
    this.#outcome.textContent = text;
    this.#outcome.classList.toggle("error", isError);
  }

  /** Ends the query that runs. */
  stop(): void {
    this.#running?.abort();
  }

  async run(): Promise<void> {
    const database = this.#host.database();
    const sql = this.#sql.value.trim();
    if (database === undefined || this.#running !== undefined || sql === "") return;
    const controller = new AbortController();
    this.#running = controller;
    this.#run.disabled = true;
    this.#stop.disabled = false;
    this.say("Running …");
    database.faults.begin(sql);
    this.#host.onRun(true);
    try {
      const done = await this.#runAll(database, sql, controller.signal);
      database.faults.end();
      this.say(`${done}${costText(database)}`);
    } catch (error) {
      database.faults.end();
      this.say(controller.signal.aborted ? "Stopped." : messageOf(error), !controller.signal.aborted);
    } finally {
      this.#running = undefined;
      this.#run.disabled = this.#host.database() === undefined;
      this.#stop.disabled = true;
      this.#host.onRun(false);
    }
  }

  /** Shows the rows of the last query among the statements; answers what was done. */
  async #runAll(database: ConsoleDatabase, sql: string, signal: AbortSignal): Promise<string> {
    const splitter = new StatementSplitter();
    const statements = [...splitter.push(sql), ...splitter.end()];
    replace(this.#rows);
    let done = "Nothing to run";
    let changes = 0;
    let shown: string | undefined;
    for (const statement of statements) {
      if (statement.effect === "query") shown = await this.#query(database, statement.sql, signal);
      else {
        const { results } = await database.target.script(statement.sql, [], { signal });
        changes += results.reduce((sum, result) => sum + result.changes, 0);
        done = `${plural(changes, "row")} changed`;
      }
    }
    if (shown === undefined) return done;
    return changes > 0 ? `${done}, ${shown}` : shown;
  }

  async #query(database: ConsoleDatabase, sql: string, signal: AbortSignal): Promise<string> {
    let table: RowTable | undefined;
    let count = 0;
    for await (const { columns, rows } of database.target.batches(sql, [], { signal })) {
      table ??= new RowTable(this.#rows, columns);
      const room = ROWS_MAX - count;
      table.add(rows.slice(0, room));
      count += Math.min(rows.length, room);
      if (rows.length > room) return `the first ${count} rows`;
    }
    return plural(count, "row");
  }

  #fillExamples(select: HTMLSelectElement): void {
    select.append(...examples.map(({ title }, i) => new Option(title, String(i))));
    const choose = (): void => {
      this.#sql.value = examples[Number(select.value)]?.sql ?? "";
    };
    select.addEventListener("change", choose);
    choose();
  }
}

function costText({ faults }: ConsoleDatabase): string {
  const figures = faults.figures();
  if (figures === undefined) return ".";
  const { requests, bytes } = figures.totals;
  const fetched =
    requests === 0 ? "nothing fetched" : `${plural(requests, "request")}, ${bytesText(bytes)} fetched`;
  return ` in ${msText(figures.durationMs ?? 0)}: ${fetched}.`;
}

export function messageOf(error: unknown): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  return code === undefined ? (message ?? String(error)) : `${code}: ${message}`;
}
