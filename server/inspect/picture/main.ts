/** The page that `pagefold inspect --html` writes: reads the document that lies in it, and draws it. Asks nothing of any network. */
import type { Inspection } from "../../../src/inspect/inspection.ts";
import { bytesText } from "../../bytes-text.ts";
import { colourChoice } from "./colour-choice.ts";
import { commitLog } from "./commit-log.ts";
import { h } from "./dom.ts";
import { type Fact, factList } from "./facts.ts";
import { HeatMap } from "./heat-map.ts";
import { keptText } from "./kept-text.ts";
import { lagText } from "./lag-text.ts";
import { waterfall } from "./waterfall.ts";
import { countText, plural, shareText, timeText } from "./words.ts";

const data = document.getElementById("inspection")?.textContent ?? "";
const main = document.querySelector("main");
if (main !== null) draw(JSON.parse(data) as Inspection, main);

function draw(inspection: Inspection, main: HTMLElement): void {
  const { residency, tables, query, commits } = inspection;
  const map = new HeatMap();
  map.show(residency, tables);
  const mapParts: Node[] = [map.element];
  if (tables !== null) mapParts.unshift(colourChoice((colours) => map.colourBy(colours)));
  main.append(
    factList(factsOf(inspection)),
    section("Pages", blockText(inspection), ...mapParts),
    ...(query === null ? [] : [section("Query", undefined, h("pre", {}, query.label), waterfall(query))]),
    section(
      "Log",
      logText(inspection),
      commitLog({ commits, onHighlight: (ranges) => map.highlight(ranges) }),
    ),
  );
}

function factsOf({
  residency,
  byteLength,
  pageSize,
  lag,
  localCommits,
  asked,
  ...about
}: Inspection): Fact[] {
  const { totals, pageCount } = residency;
  const here = totals.hot + totals.resident + totals.prefetched + totals.dirty;
  return [
    ["volume", about.volume],
    ["store", about.store],
    ["size", `${bytesText(byteLength)}, ${plural(pageCount, "page")} of ${bytesText(pageSize)}`],
    ["here", `${plural(here, "page")}, ${shareText(here, pageCount)}`],
    [
      "state",
      `LSN ${countText(about.lsn)}${localCommits > 0 ? ` and ${plural(localCommits, "local commit")}` : ""}`,
    ],
    ["remote", asked ? lagText(lag) : `${lagText(lag)}, as of the last fetch`],
    ["taken", timeText(about.takenAt)],
  ];
}

function logText({ commits, lag, history }: Inspection): string | undefined {
  const newest =
    commits.length > 0 ? `The newest ${plural(commits.length, "commit")} of ${lag.lsn}.` : undefined;
  // Documents of before have no such member.
  if (history === null || history === undefined) return newest;
  return [newest, `Kept: ${keptText(history)}.`].filter((text) => text !== undefined).join(" ");
}

function blockText({ residency }: Inspection): string | undefined {
  if (residency.pagesPerCell === 1) return "One cell is one page.";
  return `One cell is ${plural(residency.pagesPerCell, "page")}, ${bytesText(residency.pagesPerCell * residency.pageSize)}.`;
}

function section(title: string, text: string | undefined, ...children: readonly Node[]): HTMLElement {
  const id = title.toLowerCase();
  return h(
    "section",
    { "aria-labelledby": id },
    h("h2", { id }, title),
    text === undefined ? undefined : h("p", { class: "quiet" }, text),
    ...children,
  );
}
