/** What is shown beside the console: totals, map, waterfall, log. Looked at again whenever something happened, and while a query runs. */
import type { TableFigures } from "../../../src/inspect/inspection.ts";
import { bytesText } from "../../bytes-text.ts";
import { colourChoice } from "../../inspect/picture/colour-choice.ts";
import { commitLog } from "../../inspect/picture/commit-log.ts";
import { replace } from "../../inspect/picture/dom.ts";
import { factList } from "../../inspect/picture/facts.ts";
import { HeatMap } from "../../inspect/picture/heat-map.ts";
import { lagText } from "../../inspect/picture/lag-text.ts";
import { waterfall } from "../../inspect/picture/waterfall.ts";
import { countText, plural, shareText } from "../../inspect/picture/words.ts";
import { messageOf } from "./console.ts";
import type { ConsoleDatabase, Figures } from "./console-database.ts";
import { element } from "./elements.ts";
import { TableColours } from "./table-colours.ts";

const WHILE_RUNNING_MS = 250;

export interface MonitorHost {
  readonly database: () => ConsoleDatabase | undefined;
  readonly onTravel: (lsn: number) => void;
}

export class Monitor {
  readonly #host: MonitorHost;
  readonly #map = new HeatMap();
  readonly #colours: TableColours;
  #tables: TableFigures | null = null;
  #figures: Figures | undefined;
  #logKey = "";
  /** A look that is under way, and whether another one is to follow it. */
  #looking = false;
  #again = false;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(host: MonitorHost) {
    this.#host = host;
    element("map", HTMLElement).append(this.#map.element);
    this.#colours = new TableColours((tables) => {
      this.#tables = tables;
      this.#showMap();
    });
    element("map-choice", HTMLElement).append(
      colourChoice((colours) => {
        this.#map.colourBy(colours);
        this.#colours.want(colours === "table", this.#figures);
      }),
    );
  }

  /** Looks soon; many calls at once are one look. An arrow, so that it can be passed as a callback. */
  readonly look = (): void => {
    this.#again = true;
    if (!this.#looking) void this.#lookNow();
  };

  /** A query begins, or is over. */
  running(isRunning: boolean): void {
    clearInterval(this.#timer);
    const tick = (): void => {
      this.#showWaterfall();
      this.look();
    };
    if (isRunning) this.#timer = setInterval(tick, WHILE_RUNNING_MS);
    tick();
  }

  async #lookNow(): Promise<void> {
    this.#looking = true;
    try {
      while (this.#again) {
        this.#again = false;
        const database = this.#host.database();
        if (database === undefined) return;
        const figures = await database.figures();
        if (this.#host.database() !== database) continue;
        this.#figures = figures;
        this.#show(database, figures);
      }
    } catch (error) {
      // A database that was closed meanwhile has nothing to show.
      if ((error as { code?: string }).code !== "closed") this.#complain(error);
    } finally {
      this.#looking = false;
    }
  }

  #show(database: ConsoleDatabase, figures: Figures): void {
    this.#complain(undefined);
    const { residency, byteLength, lag, requests, bytesFetched, localCommits } = figures;
    const { totals, pageCount, pageSize } = residency;
    const here = totals.hot + totals.resident + totals.prefetched + totals.dirty;
    replace(
      element("totals", HTMLElement),
      factList([
        ["database", `${bytesText(byteLength)}, ${plural(pageCount, "page")}`],
        ["here", `${bytesText(here * pageSize)}, ${shareText(here, pageCount)}`],
        ["fetched so far", `${bytesText(bytesFetched)} in ${plural(requests, "request")}`],
        [
          "state",
          `LSN ${countText(figures.lsn)}${localCommits > 0 ? ` + ${plural(localCommits, "local commit")}` : ""}`,
        ],
        ["remote", lagText(lag)],
      ]),
    );
    this.#showMap();
    this.#showLog(database, figures);
    this.#showNotices(database, figures);
  }

  #showMap(): void {
    if (this.#figures === undefined) return;
    const { residency } = this.#figures;
    const cell = residency.pagesPerCell;
    element("map-text", HTMLElement).textContent =
      cell === 1
        ? "One cell is one page."
        : `One cell is ${plural(cell, "page")}, ${bytesText(cell * residency.pageSize)}.`;
    this.#map.show(residency, this.#tables);
  }

  /** Built anew only when it is another one: a focused row is not to be lost. */
  #showLog(database: ConsoleDatabase, { commits, lag }: Figures): void {
    const current = database.pastLsn ?? lag.lsn;
    const key = `${commits[0]?.lsn}/${commits.length}/${current}`;
    if (key === this.#logKey) return;
    this.#logKey = key;
    const log = commitLog({
      ...{ commits, current, onChoose: this.#host.onTravel },
      onHighlight: (ranges) => this.#map.highlight(ranges),
    });
    const box = element("log", HTMLElement);
    const focused = box.contains(document.activeElement)
      ? document.activeElement?.getAttribute("data-lsn")
      : null;
    replace(box, log);
    if (focused !== null && focused !== undefined)
      box.querySelector<HTMLElement>(`[data-lsn="${CSS.escape(focused)}"]`)?.focus();
  }

  #showNotices({ pastLsn }: ConsoleDatabase, { lag }: Figures): void {
    element("past", HTMLElement).hidden = pastLsn === undefined;
    element("past-text", HTMLElement).textContent =
      `This is the database as of commit ${pastLsn ?? ""}, to read only.`;
    element("unpushed", HTMLElement).hidden = lag.ahead === 0;
    const behind = lag.behind > 0 ? `, and others have pushed ${plural(lag.behind, "commit")} meanwhile` : "";
    element("unpushed-text", HTMLElement).textContent =
      `${plural(lag.ahead, "commit")} of yours, in this tab only${behind}.`;
  }

  #showWaterfall(): void {
    const query = this.#host.database()?.faults.figures();
    if (query !== undefined) replace(element("waterfall", HTMLElement), waterfall(query));
  }

  #complain(error: unknown): void {
    const problem = element("problem", HTMLElement);
    problem.hidden = error === undefined;
    problem.textContent = error === undefined ? "" : messageOf(error);
  }
}
