/** Colours by table, on demand: the server is asked which table each page belongs to, which takes it a while the first time. */
import type { TableFigures } from "../../../src/inspect/inspection.ts";
import { shareText } from "../../inspect/picture/words.ts";
import { messageOf } from "./console.ts";
import type { Figures } from "./console-database.ts";
import { element } from "./elements.ts";

type Line =
  | { readonly done: number; readonly total: number }
  | { readonly figures: TableFigures }
  | { readonly error: { readonly code: string; readonly message: string } };

export class TableColours {
  readonly #onTables: (tables: TableFigures) => void;
  readonly #progress = element("map-progress", HTMLElement);
  #asking: AbortController | undefined;
  /** For which cells there is a map. */
  #pagesPerCell = 0;

  constructor(onTables: (tables: TableFigures) => void) {
    this.#onTables = onTables;
  }

  /** Asks, unless the answer is here; no longer wanted, it is given up. */
  want(isWanted: boolean, figures: Figures | undefined): void {
    this.#asking?.abort();
    this.#asking = undefined;
    this.#say(undefined);
    if (!isWanted || figures === undefined || figures.residency.pagesPerCell === this.#pagesPerCell) return;
    const controller = new AbortController();
    this.#asking = controller;
    void this.#ask(figures, controller.signal);
  }

  async #ask({ lsn, residency }: Figures, signal: AbortSignal): Promise<void> {
    this.#say("Asking which table each page belongs to …");
    try {
      for await (const line of lines(`tables?lsn=${lsn}&pagesPerCell=${residency.pagesPerCell}`, signal)) {
        if ("error" in line) throw line.error;
        if ("done" in line)
          this.#say(`tables, on the server: ${shareText(line.done, line.total)} of all pages.`);
        else {
          this.#pagesPerCell = line.figures.pagesPerCell;
          this.#onTables(line.figures);
        }
      }
      this.#say(undefined);
    } catch (error) {
      if (!signal.aborted) this.#say(`The tables are not known: ${messageOf(error)}`);
    }
  }

  #say(text: string | undefined): void {
    this.#progress.hidden = text === undefined;
    this.#progress.textContent = text ?? "";
  }
}

async function* lines(url: string, signal: AbortSignal): AsyncGenerator<Line, void, undefined> {
  const response = await fetch(url, { signal });
  if (!response.ok || response.body === null) throw new Error(`the server answered ${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) yield JSON.parse(part) as Line;
  }
}
