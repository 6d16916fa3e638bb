/** The waterfall of one query: its faults and requests as bars on one axis of time, each row with its figures as text. */
import type { FaultFigures, QueryFigures, RequestFigures } from "../../../src/inspect/fault-log.ts";
import { bytesText } from "../../bytes-text.ts";
import { h, tableHead } from "./dom.ts";
import { countText, msText, pagesText, plural } from "./words.ts";

const ROWS_SHOWN = 60;

interface Row {
  readonly startMs: number;
  readonly durationMs: number;
  readonly kind: "fault" | "request";
  readonly failed: boolean;
  readonly what: string;
  readonly figures: string;
}

/** @param options.all every row, not only the first ones */
export function waterfall(query: QueryFigures): HTMLElement {
  const { faults, requests, totals } = query;
  const rows = [...faults.map(faultRow), ...requests.map(requestRow)].sort(byStart);
  const end = Math.max(query.durationMs ?? 0, ...rows.map((row) => row.startMs + row.durationMs), 0.001);
  const summary = h("p", { class: "waterfall-summary" }, summaryOf(query));
  if (rows.length === 0) return h("div", { class: "waterfall" }, summary);
  const body = h("tbody", {}, ...rows.slice(0, ROWS_SHOWN).map((row) => rowElement(row, end)));
  const columns = [
    { name: "what" },
    { name: "fetched", isNumber: true },
    { name: `0 to ${msText(end)}` },
    { name: "time", isNumber: true },
  ];
  const table = h(
    "table",
    {},
    h("caption", { class: "unseen" }, "Faults and requests, in the order in which they began"),
    tableHead(columns),
    body,
  );
  const box = h("div", { class: "waterfall" }, summary, table);
  if (rows.length > ROWS_SHOWN) {
    const more = h("button", { type: "button" }, `Show ${plural(rows.length - ROWS_SHOWN, "more row")}`);
    more.addEventListener("click", () => {
      body.append(...rows.slice(ROWS_SHOWN).map((row) => rowElement(row, end)));
      more.remove();
    });
    box.append(more);
  }
  const dropped = totals.faults - faults.length + (totals.requests - requests.length);
  if (dropped > 0)
    box.append(h("p", { class: "quiet" }, `${countText(dropped)} more are counted and not shown.`));
  return box;
}

function summaryOf({ totals, durationMs }: QueryFigures): string {
  const time = durationMs === null ? "running" : msText(durationMs);
  if (totals.faults === 0 && totals.requests === 0)
    return `${time}: everything was here, nothing was fetched.`;
  const prefetched =
    totals.prefetchedPages > 0 ? ` and ${plural(totals.prefetchedPages, "page")} read ahead` : "";
  return (
    `${time}: ${plural(totals.faults, "fault")} for ${plural(totals.pages, "page")}${prefetched}, ` +
    `${plural(totals.requests, "request")}, ${bytesText(totals.bytes)}.`
  );
}

function faultRow({ firstPage, lastPage, prefetchedPages, ...fault }: FaultFigures): Row {
  const { startMs, durationMs, failed } = fault;
  const figures = prefetchedPages > 0 ? `+${countText(prefetchedPages)}` : "";
  return { startMs, durationMs, failed, kind: "fault", what: pagesText(firstPage, lastPage), figures };
}

function requestRow({ operation, kind, bytes, ...request }: RequestFigures): Row {
  const { startMs, durationMs, failed } = request;
  const what = operation === "get" || operation === "bundle" ? kind : `${operation} ${kind}`;
  return { startMs, durationMs, failed, kind: "request", what, figures: bytes === 0 ? "" : bytesText(bytes) };
}

/** The start of a fault may come from a clock that ticks once a millisecond. */
const TICK_MS = 1;

/** A fault before the requests that it makes, which begin with it. */
function byStart(a: Row, b: Row): number {
  const at = ({ kind, startMs }: Row): number => (kind === "fault" ? startMs - TICK_MS : startMs);
  return at(a) - at(b);
}

function rowElement({ startMs, durationMs, kind, failed, what, figures }: Row, end: number): HTMLElement {
  const bar = h("span", { class: `bar ${kind}${failed ? " failed" : ""}` });
  bar.style.left = `${(startMs / end) * 100}%`;
  bar.style.width = `${Math.max(0.4, (durationMs / end) * 100)}%`;
  const label = `from ${msText(startMs)} for ${msText(durationMs)}`;
  return h(
    "tr",
    { class: kind },
    h(
      "th",
      { scope: "row", title: what },
      kind === "fault" && h("span", { class: "unseen" }, "fault: "),
      `${what}${failed ? " (failed)" : ""}`,
    ),
    h(
      "td",
      { class: "number" },
      figures,
      figures.startsWith("+") && h("span", { class: "unseen" }, " pages ahead"),
    ),
    h(
      "td",
      { class: "lane" },
      h("span", { class: "unseen" }, label),
      h("span", { class: "track", "aria-hidden": "true" }, bar),
    ),
    h("td", { class: "number" }, msText(durationMs)),
  );
}
