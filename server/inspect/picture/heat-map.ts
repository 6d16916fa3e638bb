/**
 * The residency map: a canvas with a cell for each block of pages, its legend in numbers, and a line that describes the cell under the pointer or the
 * keyboard. Arrow keys, Home, End and Page Up/Down move through the cells.
 */
import type { PageRange } from "../../../src/inspect/commit-figures.ts";
import type { TableFigures } from "../../../src/inspect/inspection.ts";
import type { Residency } from "../../../src/inspect/residency.ts";
import { bytesText } from "../../bytes-text.ts";
import { stateParts, tableParts } from "./cell-parts.ts";
import { cssColour, readPalette } from "./colours.ts";
import { h, replace } from "./dom.ts";
import { type Grid, gridFor, keyTarget } from "./grid.ts";
import { legend, tableLegend } from "./legend.ts";
import { pagesText, plural, shareText, stateWords } from "./words.ts";

export type MapColours = "state" | "table";

const HELP = "Arrow keys move from block to block.";

export class HeatMap {
  readonly element: HTMLElement;
  readonly #canvas: HTMLCanvasElement;
  readonly #detail = h("output", { class: "map-detail", "aria-live": "polite" }, HELP);
  readonly #legend = h("div", { class: "map-legend" });
  readonly #observer: ResizeObserver;
  readonly #dark = matchMedia("(prefers-color-scheme: dark)");
  #map: Residency | undefined;
  #tables: TableFigures | null = null;
  #colours: MapColours = "state";
  #grid: Grid = { columns: 1, rows: 1, size: 1 };
  #cell = -1;
  #highlight: readonly PageRange[] = [];
  #drawWaits = false;

  constructor() {
    this.#canvas = h("canvas", {
      class: "map",
      tabindex: 0,
      role: "application",
      "aria-label": "residency map",
    });
    this.element = h("div", { class: "map-box" }, this.#canvas, this.#detail, this.#legend);
    this.#observer = new ResizeObserver(() => this.#drawSoon());
    this.#observer.observe(this.element);
    this.#dark.addEventListener("change", this.#drawSoon);
    this.#canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.#canvas.addEventListener("pointerdown", (event) => this.#point(event));
    this.#canvas.addEventListener("pointerleave", () => this.#select(-1));
    this.#canvas.addEventListener("keydown", (event) => this.#key(event));
    this.#canvas.addEventListener("blur", () => this.#select(-1));
  }

  /** @param tables whose cells are those of the map; others are not shown */
  show(map: Residency, tables: TableFigures | null = null): void {
    this.#map = map;
    this.#tables = tables?.pagesPerCell === map.pagesPerCell ? tables : null;
    this.#showLegend();
    this.#describe();
    this.#drawSoon();
  }

  /** Colours cells by what their pages are, or by the table they belong to. */
  colourBy(colours: MapColours): void {
    this.#colours = colours;
    this.#showLegend();
    this.#drawSoon();
  }

  /** Marks the blocks in which these pages lie; none: no mark. */
  highlight(ranges: readonly PageRange[]): void {
    this.#highlight = ranges;
    this.#drawSoon();
  }

  /** Stops watching the page. */
  close(): void {
    this.#observer.disconnect();
    this.#dark.removeEventListener("change", this.#drawSoon);
  }

  get #byTable(): TableFigures | null {
    return this.#colours === "table" ? this.#tables : null;
  }

  #showLegend(): void {
    if (this.#map === undefined) return;
    const { totals, pageCount, pageSize } = this.#map;
    const tables = this.#byTable;
    replace(this.#legend, tables === null ? legend(this.#map) : tableLegend(tables, pageSize));
    const here = totals.prefetched + totals.resident + totals.hot + totals.dirty;
    const label = `Residency map of ${plural(pageCount, "page")} (${bytesText(pageCount * pageSize)}): ${shareText(here, pageCount)} here. ${HELP}`;
    this.#canvas.setAttribute("aria-label", label);
  }

  /** At most once for each frame of the screen. */
  readonly #drawSoon = (): void => {
    if (this.#drawWaits) return;
    this.#drawWaits = true;
    requestAnimationFrame(() => {
      this.#drawWaits = false;
      this.#draw();
    });
  };

  #draw(): void {
    const map = this.#map;
    const width = Math.floor(this.element.clientWidth);
    if (map === undefined || width === 0) return;
    const grid = gridFor(map.cells, width);
    this.#grid = grid;
    const scale = Math.max(1, devicePixelRatio);
    const height = grid.rows * grid.size;
    this.#canvas.width = Math.round(grid.columns * grid.size * scale);
    this.#canvas.height = Math.round(height * scale);
    this.#canvas.style.width = `${grid.columns * grid.size}px`;
    this.#canvas.style.height = `${height}px`;
    const context = this.#canvas.getContext("2d");
    if (context === null) return;
    context.scale(scale, scale);
    const palette = readPalette(this.element);
    const tables = this.#byTable;
    const gap = grid.size >= 5 ? 1 : 0;
    for (let cell = 0; cell < map.cells; cell++) {
      const parts = tables === null ? stateParts(map, cell, palette) : tableParts(map, tables, cell, palette);
      const [left, y] = this.#placeOf(cell);
      const side = grid.size - gap;
      let x = left;
      for (const { colour, share } of parts) {
        context.fillStyle = cssColour(colour);
        // To the end, so that rounding leaves no seam.
        context.fillRect(x, y, left + side - x, side);
        x += share * side;
      }
    }
    context.strokeStyle = cssColour(palette.mark);
    context.lineWidth = 1.5;
    for (const cell of this.#highlighted(map)) this.#frame(context, cell, 0.5);
    context.lineWidth = 2;
    if (this.#cell >= 0) this.#frame(context, this.#cell, -1);
  }

  #frame(context: CanvasRenderingContext2D, cell: number, inset: number): void {
    const [x, y] = this.#placeOf(cell);
    const side = this.#grid.size - 2 * inset - 1;
    context.strokeRect(x + inset, y + inset, side, side);
  }

  *#highlighted({ pagesPerCell, cells }: Residency): IterableIterator<number> {
    for (const [first, last] of this.#highlight) {
      const end = Math.min(cells - 1, Math.floor((last - 1) / pagesPerCell));
      for (let cell = Math.floor((first - 1) / pagesPerCell); cell <= end; cell++) yield cell;
    }
  }

  #placeOf(cell: number): [x: number, y: number] {
    const { columns, size } = this.#grid;
    return [(cell % columns) * size, Math.floor(cell / columns) * size];
  }

  #point({ offsetX, offsetY }: PointerEvent): void {
    const { columns, size } = this.#grid;
    const column = Math.floor(offsetX / size);
    this.#select(column >= columns ? -1 : Math.floor(offsetY / size) * columns + column);
  }

  #key(event: KeyboardEvent): void {
    const cells = this.#map?.cells ?? 0;
    const target = keyTarget(event.key, this.#cell, cells, this.#grid.columns);
    if (target === undefined) return;
    event.preventDefault();
    this.#select(target);
  }

  #select(cell: number): void {
    const within = cell >= 0 && cell < (this.#map?.cells ?? 0) ? cell : -1;
    if (within === this.#cell) return;
    this.#cell = within;
    this.#describe();
    this.#drawSoon();
  }

  #describe(): void {
    const map = this.#map;
    const cell = this.#cell;
    if (map === undefined || cell < 0) {
      this.#detail.textContent = HELP;
      return;
    }
    const first = cell * map.pagesPerCell + 1;
    const last = Math.min(map.pageCount, first + map.pagesPerCell - 1);
    const parts = stateWords.filter(({ state }) => map[state][cell]! > 0);
    const states = parts.map(({ state, word }) => (first === last ? word : `${map[state][cell]!} ${word}`));
    const table = this.#tables?.tables[this.#tables.cells[cell] ?? -1]?.name;
    const whose = table === undefined ? "" : `, ${first === last ? "" : "mostly "}${table}`;
    this.#detail.textContent = `${pagesText(first, last)}${whose}: ${states.join(", ")}`;
  }
}
