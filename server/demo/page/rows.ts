/** The rows of a query as a table. Values are text here, whatever they hold. */

import type { SqlValue } from "../../../vfs/sqlite/values.ts";
import { h, replace } from "../../inspect/picture/dom.ts";

const TEXT_MAX = 300;

export class RowTable {
  readonly #body = h("tbody");

  constructor(into: HTMLElement, columns: readonly string[]) {
    const head = h("thead", {}, h("tr", {}, ...columns.map((name) => h("th", { scope: "col" }, name))));
    const caption = h("caption", { class: "unseen" }, "Rows of the query");
    replace(into, columns.length === 0 ? null : h("table", {}, caption, head, this.#body));
  }

  add(rows: readonly (readonly SqlValue[])[]): void {
    this.#body.append(...rows.map((row) => h("tr", {}, ...row.map(cell))));
  }
}

function cell(value: SqlValue): HTMLElement {
  if (value === null) return h("td", { class: "null" }, "NULL");
  if (typeof value === "number" || typeof value === "bigint")
    return h("td", { class: "number" }, String(value));
  if (typeof value !== "string") return h("td", {}, `blob of ${value.byteLength} bytes`);
  const isLong = value.length > TEXT_MAX;
  return h("td", { title: isLong ? undefined : value }, isLong ? `${value.slice(0, TEXT_MAX)}…` : value);
}
