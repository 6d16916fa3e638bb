/** What the colours of the map stand for, with the numbers: for those who do not see the picture, it is the picture. */
import type { TableFigures } from "../../../src/inspect/inspection.ts";
import type { Residency } from "../../../src/inspect/residency.ts";
import { bytesText } from "../../bytes-text.ts";
import { TABLE_COLOURS, tableColourName } from "./colours.ts";
import { h, tableHead } from "./dom.ts";
import { countText, shareText, stateWords } from "./words.ts";

const TABLES_SHOWN = 40;

export function legend(map: Residency): HTMLElement {
  const rows = stateWords.map(({ state, word, says }) => {
    const pages = map.totals[state];
    const swatch = swatchOf(`--${state}`);
    return h(
      "tr",
      { class: pages === 0 ? "none" : undefined },
      h("th", { scope: "row" }, swatch, word),
      h("td", { class: "number", "data-state": state }, countText(pages)),
      h("td", { class: "number" }, shareText(pages, map.pageCount)),
      h("td", { class: "number minor" }, bytesText(pages * map.pageSize)),
      h("td", { class: "minor says" }, says),
    );
  });
  const columns = [
    { name: "state" },
    { name: "pages", isNumber: true },
    { name: "share", isNumber: true },
    { name: "size", isNumber: true, isMinor: true },
    { name: "meaning", isMinor: true },
  ];
  return h("table", {}, caption("Pages by state"), tableHead(columns), h("tbody", {}, ...rows));
}

export function tableLegend({ tables, otherPages }: TableFigures, pageSize: number): HTMLElement {
  const all = tables.reduce((sum, { pages }) => sum + pages, otherPages);
  const row = (name: string, pages: number, colour: string | undefined): HTMLElement =>
    h(
      "tr",
      {},
      h("th", { scope: "row", class: "name" }, swatchOf(colour), name),
      h("td", { class: "number" }, countText(pages)),
      h("td", { class: "number" }, shareText(pages, all)),
      h("td", { class: "number minor" }, bytesText(pages * pageSize)),
    );
  const shown = tables
    .slice(0, TABLES_SHOWN)
    .map(({ name, pages }, i) => row(name, pages, tableColourName(i)));
  const rest = tables.slice(TABLES_SHOWN);
  const restPages = rest.reduce((sum, { pages }) => sum + pages, 0);
  if (rest.length > 0) shown.push(row(`${rest.length} more`, restPages, tableColourName(TABLE_COLOURS)));
  if (otherPages > 0) shown.push(row("no table", otherPages, "--absent"));
  const columns = [
    { name: "table or index" },
    { name: "pages", isNumber: true },
    { name: "share", isNumber: true },
    { name: "size", isNumber: true, isMinor: true },
  ];
  return h("table", {}, caption("Pages by table and index"), tableHead(columns), h("tbody", {}, ...shown));
}

function caption(text: string): HTMLElement {
  return h("caption", { class: "unseen" }, text);
}

/** @param colour name of a custom property */
function swatchOf(colour: string | undefined): HTMLElement {
  const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
  if (colour !== undefined) swatch.style.background = `var(${colour})`;
  return swatch;
}
