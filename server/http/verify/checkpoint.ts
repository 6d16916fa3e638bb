/**
 * Checks a checkpoint that was sent: that its commit is the one of the log, that its writers are those which the log says, and that the segments in which
 * it places pages are there and hold these very pages. Readers believe a checkpoint as they believe a commit: a false one would change history.
 */
import type { Hash, Lsn, TimeMs } from "../../../src/base/brand.ts";
import { isPagefoldError } from "../../../src/base/errors.ts";
import { Lru } from "../../../src/base/lru.ts";
import { type DecodedCheckpoint, decodeCheckpoint } from "../../../src/format/checkpoint-codec.ts";
import { checkpointUpTo } from "../../../src/replicate/floor.ts";
import { LoadedCheckpoint, placesAllOf } from "../../../src/volume/loaded-checkpoint.ts";
import type { PageTable } from "../../../src/volume/page-table.ts";
import type { RemoteState } from "../../../src/volume/remote-state.ts";
import type { ServerContext } from "../context.ts";
import type { NameOf } from "../object-keys.ts";
import type { KnownVolume } from "../volume-logs.ts";
import { decoding, lie } from "./lies.ts";
import { checkPlaces, type PlaceCheck } from "./places.ts";

/** What was proven of a checkpoint. */
export interface CheckedCheckpoint {
  readonly hash: Hash;
  /** Of its commit. */
  readonly time: TimeMs;
  /** Whether it places every page that its volume's own commits wrote: then these may go. */
  readonly complete: boolean;
}

const REMEMBERED = 4096;

/** Checkpoints that were checked, by key. A segment that is deleted afterwards makes all of them doubtful. */
export class CheckedCheckpoints {
  readonly #known = new Lru<string, CheckedCheckpoint>(REMEMBERED);

  add(key: string, checked: CheckedCheckpoint): void {
    this.#known.set(key, checked, 1);
  }

  get(key: string): CheckedCheckpoint | undefined {
    return this.#known.get(key);
  }

  forgetAll(): void {
    this.#known.clear();
  }
}

/** @throws 422 */
export async function checkCheckpoint(
  context: ServerContext,
  known: KnownVolume,
  name: NameOf<"checkpoint">,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<CheckedCheckpoint> {
  const { volume, lsn, digits } = name;
  const what = `the checkpoint of LSN ${lsn} of volume ${volume}`;
  const decoded = decoding(what, () => decodeCheckpoint(bytes, context.codecs.hash, { volume, lsn }));
  if (!decoded.hash.startsWith(digits))
    throw lie(what, `its key is that of another: its hash is ${decoded.hash}`);
  const floor = (await context.logs.floor(known, signal))?.n ?? 0;
  // One of a floor to come would never be collected.
  if (decoded.madeUnder > floor)
    throw lie(what, `it was made under floor ${decoded.madeUnder}, and the newest is ${floor}`);
  const state = await stateAt(context, what, known, lsn, signal);
  if (state.hash !== decoded.commit.hash)
    throw lie(what, `commit ${lsn} of the log is another than the one in it`);
  const loaded = new LoadedCheckpoint(decoded);
  checkWriters(context, what, known, loaded, state);
  const complete = placesAllOf(decoded, true);
  const check: PlaceCheck = {
    what,
    known,
    loaded,
    state,
    sources: await sourcesOf(context, known, decoded, signal),
  };
  await checkPlaces(context, check, signal);
  const checked = { hash: decoded.hash, time: decoded.commit.header.time, complete };
  context.checkpoints.add(name.key, checked);
  return checked;
}

/** What cannot be read cannot be proven either. */
async function stateAt(
  { logs }: ServerContext,
  what: string,
  known: KnownVolume,
  lsn: Lsn,
  signal: AbortSignal,
): Promise<RemoteState> {
  try {
    return await logs.state(known, lsn, signal);
  } catch (error) {
    if (!isPagefoldError(error, "corrupt", "not_found", "diverged")) throw error;
    throw lie(what, `the state that it should hold cannot be read: ${error.message}`);
  }
}

function checkWriters(
  { logs }: ServerContext,
  what: string,
  known: KnownVolume,
  { table, checkpoint }: LoadedCheckpoint,
  state: RemoteState,
): void {
  const page = firstDifference(table, state.table, state.pageCount);
  if (page !== undefined) {
    throw lie(
      what,
      `it says that commit ${table.lookup(page)} wrote page ${page} last, which was commit ${state.table.lookup(page)} (0: none)`,
    );
  }
  const directory = logs.directory(known);
  for (const { lsn, hash } of checkpoint.writers) {
    const remembered = directory.hash(lsn);
    if (hash !== undefined && remembered !== undefined && hash !== remembered)
      throw lie(what, `it names another commit ${lsn} than the log`);
  }
}

function firstDifference(a: PageTable, b: PageTable, pageCount: number): number | undefined {
  for (const { first, last, value } of a.runs(1, pageCount))
    for (const run of b.runs(first, last)) if (run.value !== value) return run.first;
  return undefined;
}

/** Checkpoints that are believed already, and place pages: what they say need not be proven again. */
async function sourcesOf(
  { logs }: ServerContext,
  known: KnownVolume,
  { volume, commit }: DecodedCheckpoint,
  signal: AbortSignal,
): Promise<LoadedCheckpoint[]> {
  const { lsn } = commit.header;
  const anchored = commit.header.checkpoint;
  const kept = checkpointUpTo(await logs.floor(known, signal), lsn);
  const sources: LoadedCheckpoint[] = [];
  for (const named of [kept, anchored]) {
    if (named === undefined || logs.directory(known).volumeOf(named.lsn) !== volume) continue;
    try {
      const loaded = await logs.checkpoint(known, { volume, ...named }, signal);
      if (loaded !== undefined) sources.push(loaded);
    } catch (error) {
      // Damaged in the store: it proves nothing.
      if (!isPagefoldError(error, "corrupt", "unsupported_version")) throw error;
    }
  }
  return sources;
}
