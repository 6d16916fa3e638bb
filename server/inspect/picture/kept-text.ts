/** What is kept of a log, in words. */
import type { HistoryFigures } from "../../../src/inspect/history-figures.ts";
import { bytesText } from "../../bytes-text.ts";
import { plural } from "./words.ts";

const SHOWN = 8;

export function keptText(history: HistoryFigures): string {
  const { floorLsn, keptBelow, keptBelowCount, checkpointCount, segments } = history;
  const parts = [floorLsn === 0 ? "every state" : `every state from LSN ${floorLsn} on`];
  if (keptBelowCount > 0) {
    const shown = keptBelow.slice(0, SHOWN).map(({ lsn }) => lsn);
    parts.push(`below that LSN ${shown.join(", ")}${keptBelowCount > shown.length ? " …" : ""}`);
  }
  if (checkpointCount > 0) parts.push(plural(checkpointCount, "checkpoint"));
  if (segments.count > 0)
    parts.push(`compacted into ${plural(segments.count, "segment")} of ${bytesText(segments.storedBytes)}`);
  return parts.join("; ");
}
