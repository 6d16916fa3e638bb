/** The log of a volume as a table, newest first. A row that is pointed at or focused shows on the map which pages it changed. */
import type { CommitFigures, PageRange } from "../../../src/inspect/commit-figures.ts";
import { bytesText } from "../../bytes-text.ts";
import { h, tableHead } from "./dom.ts";
import { countText, plural, timeText } from "./words.ts";

export interface CommitLogOptions {
  readonly commits: readonly CommitFigures[];
  /** Told the pages of the commit that is pointed at, and an empty list when none is. */
  readonly onHighlight: (ranges: readonly PageRange[]) => void;
  /** Makes the numbers of commits buttons. */
  readonly onChoose?: (lsn: number) => void;
  /** The commit whose state is shown. */
  readonly current?: number | undefined;
}

export function commitLog({ commits, onHighlight, onChoose, current }: CommitLogOptions): HTMLElement {
  if (commits.length === 0) return h("p", { class: "quiet" }, "No commits so far.");
  const rows = commits.map((commit) => {
    const isCurrent = commit.lsn === current;
    const row = h(
      "tr",
      // Focusable in any case, so that the keyboard finds out what the pointer does.
      { tabindex: onChoose === undefined ? 0 : undefined, "aria-current": isCurrent ? "true" : undefined },
      h("th", { scope: "row" }, lsnElement(commit.lsn, isCurrent, onChoose)),
      h("td", {}, h("time", { datetime: new Date(commit.time).toISOString() }, timeText(commit.time))),
      h("td", { class: "number" }, countText(commit.pages)),
      h("td", { class: "number" }, bytesText(commit.storedBytes)),
      h("td", { class: "minor" }, placeText(commit)),
    );
    for (const event of ["pointerenter", "focusin"])
      row.addEventListener(event, () => onHighlight(commit.ranges));
    for (const event of ["pointerleave", "focusout"]) row.addEventListener(event, () => onHighlight([]));
    return row;
  });
  const columns = [
    { name: "LSN" },
    { name: "time" },
    { name: "pages", isNumber: true },
    { name: "stored", isNumber: true },
    { name: "where", isMinor: true },
  ];
  return h(
    "table",
    { class: "log" },
    h("caption", { class: "unseen" }, "Commits, newest first"),
    tableHead(columns),
    h("tbody", {}, ...rows),
  );
}

function lsnElement(lsn: number, isCurrent: boolean, onChoose: CommitLogOptions["onChoose"]): Node | string {
  if (onChoose === undefined) return String(lsn);
  const button = h(
    "button",
    { type: "button", "aria-pressed": String(isCurrent), "data-lsn": lsn },
    String(lsn),
  );
  button.title = `Show the database as of commit ${lsn}`;
  button.addEventListener("click", () => onChoose(lsn));
  return button;
}

function placeText({ placed, segmentCount }: CommitFigures): string {
  if (placed === "none") return "no bytes";
  return placed === "inline" ? "in the commit" : plural(segmentCount, "segment");
}
