/** An inspection as text for a terminal: the same figures as the picture, the longest lists cut. */
import type { QueryFigures } from "../../src/inspect/fault-log.ts";
import type { Inspection, TableFigures } from "../../src/inspect/inspection.ts";
import { bytesText } from "../bytes-text.ts";
import { facts } from "../cli/output.ts";
import { table } from "../cli/table.ts";
import { keptText } from "./picture/kept-text.ts";
import { lagText } from "./picture/lag-text.ts";
import { shareText, stateWords } from "./picture/words.ts";

const TABLES_SHOWN = 20;
const FAULTS_SHOWN = 20;

export function summary(inspection: Inspection): string {
  const { residency, query, tables } = inspection;
  const parts = [
    facts(factsOf(inspection)),
    table(["state", "pages", "share", "size"], stateRows(inspection)),
  ];
  if (query !== null) parts.push(...queryParts(query));
  if (tables !== null) parts.push(tablesText(tables, residency.pageSize));
  if (inspection.commits.length > 0) parts.push(commitsText(inspection));
  return parts.join("\n\n");
}

function factsOf(inspection: Inspection): Record<string, unknown> {
  const { volume, lsn, localCommits, byteLength, pageSize, residency, lag, asked } = inspection;
  return {
    volume,
    lsn,
    localCommits,
    bytes: byteLength,
    pageSize,
    pageCount: residency.pageCount,
    remote: asked ? lagText(lag) : `${lagText(lag)}, as of the last fetch`,
    ...(inspection.history === null ? {} : { kept: keptText(inspection.history) }),
  };
}

function stateRows({ residency }: Inspection): unknown[][] {
  const { totals, pageCount, pageSize } = residency;
  return stateWords.map(({ state, word }) => {
    const pages = totals[state];
    return [word, pages, shareText(pages, pageCount), bytesText(pages * pageSize)];
  });
}

function queryParts({ faults, totals, durationMs }: QueryFigures): string[] {
  const { pages, prefetchedPages, requests, bytes } = totals;
  const line = `query in ${Math.round(durationMs ?? 0)} ms: ${totals.faults} faults for ${pages} pages, ${prefetchedPages} read ahead, ${requests} requests, ${bytesText(bytes)}`;
  if (faults.length === 0) return [line];
  const rows = faults
    .slice(0, FAULTS_SHOWN)
    .map((fault) => [
      Math.round(fault.startMs),
      Math.round(fault.durationMs),
      fault.firstPage,
      fault.pages,
      fault.prefetchedPages,
    ]);
  const rest = totals.faults - rows.length;
  const faultTable = table(["fault at ms", "ms", "page", "pages", "read ahead"], rows);
  return [line, rest > 0 ? `${faultTable}\n… and ${rest} more` : faultTable];
}

function tablesText({ tables, otherPages }: TableFigures, pageSize: number): string {
  const rows: unknown[][] = tables
    .slice(0, TABLES_SHOWN)
    .map(({ name, pages }) => [name, pages, bytesText(pages * pageSize)]);
  const rest = tables.slice(TABLES_SHOWN);
  const restPages = rest.reduce((sum, { pages }) => sum + pages, 0);
  if (rest.length > 0) rows.push([`(${rest.length} more)`, restPages, bytesText(restPages * pageSize)]);
  if (otherPages > 0) rows.push(["(no table)", otherPages, bytesText(otherPages * pageSize)]);
  return table(["table or index", "pages", "size"], rows);
}

function commitsText({ commits }: Inspection): string {
  const rows = commits.map(({ lsn, time, pages, storedBytes, placed, segmentCount }) => {
    const where =
      placed === "segments" ? `${segmentCount} segments` : placed === "inline" ? "in the commit" : "";
    return [lsn, new Date(time).toISOString(), pages, storedBytes, where];
  });
  return table(["lsn", "time", "pages", "bytes", "where"], rows);
}
