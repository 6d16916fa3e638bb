/**
 * `PRAGMA pagefold_…`: what the store and the volume of a connection can do, for tools that only speak SQL. Each is a function over the open
 * file and the store; answers are rows, which the session hands out as such and the VFS as one text.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import { toHex } from "../../src/format/bytes.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import type { SqlRows } from "./connection.ts";
import type { DatabaseFile } from "./database-file.ts";
import { openTransaction } from "./errors.ts";
import type { SqlValue } from "./values.ts";
import { VolumeSource } from "./volume-source.ts";

export const PAGEFOLD_VERSION = "0.1.0";

export interface PragmaContext {
  readonly store: PageStore;
  readonly file: DatabaseFile;
  readonly signal?: AbortSignal | undefined;
  /** The source of a volume's newest state, shared by its connections. */
  readonly sourceOf: (volume: Volume) => VolumeSource;
  /** Writes a state into a file; absent where the platform has none. */
  readonly exportTo?:
    | ((volume: Volume, path: string, signal?: AbortSignal) => Promise<{ readonly bytes: number }>)
    | undefined;
}

type Answer = Readonly<Record<string, SqlValue>> | readonly Readonly<Record<string, SqlValue>>[];
type Pragma = (context: PragmaContext, value: string | undefined) => Answer | (() => Promise<Answer>);

const pragmas: Readonly<Record<string, Pragma>> = {
  version: () => ({ version: PAGEFOLD_VERSION }),
  lsn: ({ file }) => ({ lsn: file.view.lsn }),
  status: (context) => {
    const { volume, state, lsn, remoteLsn, ahead, behind, pendingPush, residentPages } =
      volumeOf(context).status();
    const pending_push = pendingPush ? 1 : 0;
    return {
      volume,
      state,
      lsn,
      remote_lsn: remoteLsn,
      ahead,
      behind,
      pending_push,
      resident_pages: residentPages,
    };
  },
  info: (context) => {
    const { volume, pageCount, pageSize, byteLength } = volumeOf(context).status();
    const read_only = context.file.readOnly ? 1 : 0;
    return { volume, page_size: pageSize, page_count: pageCount, byte_length: byteLength, read_only };
  },
  snapshot: ({ file }) => {
    const { lsn, pageCount, byteLength } = file.view;
    return { lsn, page_count: pageCount, byte_length: byteLength, local_commits: localCommits(file) };
  },
  tags:
    ({ store, signal }) =>
    async () =>
      (await store.tags(optional(signal))).map(({ tag, volume }) => ({ tag, volume })),
  log: (context, value) => async () => {
    const limit = value === undefined ? 20 : wholeNumber("log", value);
    const entries: Record<string, SqlValue>[] = [];
    for await (const entry of volumeOf(context).log({ limit, ...optional(context.signal) })) {
      const { lsn, time, pages, pageCount, bytes, hash } = entry;
      entries.push({ lsn, time: new Date(time).toISOString(), pages, page_count: pageCount, bytes, hash });
    }
    return entries;
  },
  fetch: (context) => async () => {
    const { lsn, behind } = await volumeOf(context).fetch(optional(context.signal));
    return { lsn, behind };
  },
  pull: (context) => async () => {
    if (context.file.writing) throw openTransaction();
    const { from, to, changedPages } = await volumeOf(context).pull(optional(context.signal));
    return { from_lsn: from, to_lsn: to, changed_pages: changedPages };
  },
  push: (context) => async () => {
    const { lsn, commits, changedPages, storedBytes } = await volumeOf(context).push(
      optional(context.signal),
    );
    return { lsn, commits, changed_pages: changedPages, stored_bytes: storedBytes };
  },
  hydrate: (context) => async () => {
    const { pages, fetchedPages } = await volumeOf(context).hydrate(optional(context.signal));
    return { pages, fetched_pages: fetchedPages };
  },
  verify: (context) => async () => {
    const { lsn, commits, pages, stateChecksum } = await volumeOf(context).verify(optional(context.signal));
    return { lsn, commits, pages, state_checksum: stateChecksum.toString(16).padStart(32, "0") };
  },
  export: (context, value) => async () => {
    const path = needed("export", "a file's path", value);
    if (context.exportTo === undefined)
      throw new PagefoldError("invalid", "there are no files here to export to; export through the library");
    const { bytes } = await context.exportTo(volumeOf(context), path, context.signal);
    return { path, bytes };
  },
  new: (context, value) => async () => {
    const tag = needed("new", "the new volume's tag", value);
    if (context.file.locked) throw openTransaction();
    return switchTo(context, await context.store.createVolume({ tag, ...optional(context.signal) }), tag);
  },
  switch: (context, value) => async () => {
    const name = needed("switch", "a tag or a volume id", value);
    return switchTo(context, await context.store.volume(name, optional(context.signal)), name);
  },
  clone: (context, value) => async () => {
    const name = needed("clone", "a tag or a volume id", value);
    const volume = await context.store.volume(name, optional(context.signal));
    const { id } = volume;
    const { lsn, pageCount } = volume.status();
    return { name, volume: id, lsn, page_count: pageCount };
  },
  fork: (context, value) => async () => {
    const tag = needed("fork", "the fork's tag", value);
    if (context.file.locked) throw openTransaction();
    const options = { tag, localCommits: "leave", ...optional(context.signal) } as const;
    return switchTo(context, await context.store.fork(volumeOf(context).id, options), tag);
  },
};

/** Rows of `PRAGMA name` or `PRAGMA name = value`, or how to get them; undefined where there is no such pragma. */
export function runPragma(
  context: PragmaContext,
  name: string,
  value: string | undefined,
): SqlRows | (() => Promise<SqlRows>) | undefined {
  const pragma = pragmas[name.replace(/^pagefold_/, "")];
  if (pragma === undefined) return undefined;
  const asJson = value?.toLowerCase() === "json";
  const answer = pragma(context, asJson ? undefined : value);
  const shape = (rows: Answer): SqlRows => (asJson ? jsonRows(name, rows) : plainRows(rows));
  return typeof answer === "function" ? async () => shape(await answer()) : shape(answer);
}

export function unknownPragma(name: string): PagefoldError {
  const known = Object.keys(pragmas).map((known) => `pagefold_${known}`);
  return new PagefoldError("invalid", `there is no PRAGMA ${name}; there are ${known.join(", ")}`);
}

/** Rows as one text, for callers to whom SQLite can pass no more: the bare value of a single cell, else a line per row, cells apart by tabs. */
export function textOf({ columns, rows }: SqlRows): string {
  if (rows.length === 1 && columns.length === 1) return cell(rows[0]?.[0]);
  return [columns.join("\t"), ...rows.map((row) => row.map(cell).join("\t"))].join("\n");
}

function cell(value: SqlValue | undefined): string {
  return value instanceof Uint8Array ? toHex(value) : String(value ?? "");
}

function plainRows(answer: Answer): SqlRows {
  const records = Array.isArray(answer) ? answer : [answer];
  const columns = Object.keys(records[0] ?? {});
  return { columns, rows: records.map((record) => columns.map((column) => record[column] ?? null)) };
}

function jsonRows(name: string, answer: Answer): SqlRows {
  return { columns: [name], rows: [[JSON.stringify(answer)]] };
}

function volumeOf({ file }: PragmaContext): Volume {
  if (file.source instanceof VolumeSource) return file.source.volume;
  throw new PagefoldError(
    "invalid",
    "this connection shows one state for ever; open the newest one for that",
  );
}

function localCommits({ source }: DatabaseFile): number {
  return source instanceof VolumeSource ? source.current.localCommits : 0;
}

function switchTo(context: PragmaContext, volume: Volume, name: string): Answer {
  context.file.switchTo(context.sourceOf(volume));
  const { lsn } = volume.status();
  return { name, volume: volume.id, lsn };
}

function needed(pragma: string, what: string, value: string | undefined): string {
  if (value !== undefined && value !== "") return value;
  throw new PagefoldError(
    "invalid",
    `PRAGMA pagefold_${pragma} needs ${what}: PRAGMA pagefold_${pragma} = '…'`,
  );
}

function wholeNumber(pragma: string, value: string): number {
  if (/^[0-9]+$/.test(value)) return Number(value);
  throw new PagefoldError(
    "invalid",
    `PRAGMA pagefold_${pragma} takes a whole number, not ${JSON.stringify(value)}`,
  );
}

function optional(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
