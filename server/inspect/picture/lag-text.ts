/** Where a side stands against the remote log, in words. */
import type { Lag } from "../../../src/inspect/inspection.ts";
import { plural } from "./words.ts";

export function lagText({ state, ahead, behind, remoteLsn, pendingPush }: Lag): string {
  const pending = pendingPush ? ", an unfinished push" : "";
  if (state === "clean") return `at the newest commit, ${remoteLsn}${pending}`;
  const parts = [
    behind > 0 ? `${plural(behind, "commit")} behind ${remoteLsn}` : "",
    ahead > 0 ? `${plural(ahead, "local commit")} not pushed` : "",
  ];
  return `${parts.filter((part) => part !== "").join(", ")}${pending}`;
}
