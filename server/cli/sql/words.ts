/** What the command says about SQL that ran: on stderr, in one form for scripts and for the shell. */
import type { PushReply, QueryStats } from "../../../vfs/index.ts";
import { bytesText } from "../../bytes-text.ts";

/** "1 row", "2 rows". */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

export function summary({
  rows,
  changes,
}: {
  readonly rows: number | undefined;
  readonly changes: number;
}): string {
  const parts: string[] = [];
  if (rows !== undefined) parts.push(counted(rows, "row"));
  if (changes > 0) parts.push(`${counted(changes, "row")} changed`);
  return parts.length === 0 ? "done" : parts.join(", ");
}

export function costText({ faults, requests, bytesFetched }: Omit<QueryStats, "ms">): string {
  return `${counted(faults, "fault")}, ${counted(requests, "request")}, ${bytesText(bytesFetched)} fetched`;
}

/** A line for each push that sent something; the first is that of the database itself, the others are those of volumes beside it. */
export function pushLines(pushed: readonly (PushReply & { readonly volume: string })[]): string[] {
  const sent = pushed.filter(({ commits }) => commits > 0);
  if (pushed.length > 0 && sent.length === 0) return ["nothing to push"];
  return sent.map((push) => {
    const { volume, lsn, commits, changedPages } = push;
    const where = push === pushed[0] ? "" : ` of volume ${volume}`;
    return `pushed ${counted(commits, "local commit")} as LSN ${lsn}${where}, ${counted(changedPages, "page")}`;
  });
}

/** Where local commits wait that nobody pushed. */
export function localOnly(
  ahead: number,
  { name, local }: { readonly name: string; readonly local: string | undefined },
): string {
  return `local only: ${counted(ahead, "commit")} in ${local}, not in the remote log; pagefold push ${name} --local ${local} sends`;
}
