/**
 * Checks what a commit says of the pages that it takes back: that at the LSN which it restores, those were their writers. Readers of every later
 * state would look for these pages where the commit says.
 */
import type { Lsn } from "../../../src/base/brand.ts";
import { isPagefoldError } from "../../../src/base/errors.ts";
import { forkKey, restorePinKey } from "../../../src/format/keys.ts";
import type { CommitHeader } from "../../../src/format/model.ts";
import type { RemoteState } from "../../../src/volume/remote-state.ts";
import type { ServerContext } from "../context.ts";
import { type KnownVolume, signalOf } from "../volume-logs.ts";
import { lie } from "./lies.ts";

type RestoreContext = Pick<ServerContext, "logs" | "origin">;

/**
 * @returns the state that the commit restores; undefined where it is no restore
 * @throws 422
 */
export async function checkRestored(
  context: RestoreContext,
  volume: KnownVolume,
  header: CommitHeader,
  signal: AbortSignal | undefined,
): Promise<RemoteState | undefined> {
  const { lsn, restoredFrom, restored } = header;
  if (restoredFrom === undefined) return undefined;
  const what = `commit ${lsn} of volume ${header.volume}`;
  if (restored.length > 0) await checkPins(context, what, volume, header, restoredFrom, signal);
  const state = await stateAt(context, what, volume, restoredFrom, signal);
  const directory = context.logs.directory(volume);
  for (const { lsn: writer, hash, pages } of restored) {
    for (const { first, last } of pages.runs()) {
      for (const run of state.table.runs(first, last)) {
        if (run.value === writer) continue;
        throw lie(what, `page ${run.first} was not commit ${writer}'s at LSN ${restoredFrom}`, { lsn });
      }
    }
    const known = directory.hash(writer);
    if (hash !== undefined && known !== undefined && hash !== known) {
      throw lie(what, `it names another commit ${writer} than the log`, { lsn });
    }
  }
  return state;
}

/** Without them a collection would take what the commit shares. */
async function checkPins(
  { origin, logs }: RestoreContext,
  what: string,
  volume: KnownVolume,
  header: CommitHeader,
  from: Lsn,
  signal: AbortSignal | undefined,
): Promise<void> {
  const owner = logs.directory(volume).volumeOf(from);
  const pins = [restorePinKey(header.volume, header.lsn, from)];
  if (owner !== header.volume) pins.push(forkKey(owner, header.volume, from));
  const found = await Promise.all(pins.map((key) => origin.get(key, signalOf(signal))));
  const missing = pins.find((_, i) => found[i] === undefined);
  if (missing !== undefined) throw lie(what, `its pin ${missing} is not there; create that first`);
}

/** What cannot be read cannot be restored either: no reader would find the pages. */
async function stateAt(
  { logs }: RestoreContext,
  what: string,
  volume: KnownVolume,
  lsn: RemoteState["lsn"],
  signal: AbortSignal | undefined,
): Promise<RemoteState> {
  try {
    return await logs.state(volume, lsn, signal);
  } catch (error) {
    if (!isPagefoldError(error, "corrupt", "not_found", "diverged")) throw error;
    throw lie(what, `the state at LSN ${lsn}, which it restores, cannot be read: ${error.message}`);
  }
}

/**
 * Whether a commit on top of `parent` has, page by page, the writers of the state that it restores: then its state checksum is that one's, and no
 * digest need be read.
 */
export function leadsTo(header: CommitHeader, parent: RemoteState, restored: RemoteState): boolean {
  if (!header.changed.isEmpty || header.pageCount !== restored.pageCount) return false;
  const editor = parent.table.edit().truncate(header.lowestPageCount).assign(header.zeroed, 0);
  for (const { lsn, pages } of header.restored) editor.assign(pages, lsn);
  const table = editor.finish();
  for (const { first, last, value } of table.runs(1, header.pageCount)) {
    for (const run of restored.table.runs(first, last)) if (run.value !== value) return false;
  }
  return true;
}
