/**
 * The options that verbs share, and the strict parsing of what users type. Whatever is wrong with an argument is found here, before
 * any store is opened, and ends the command with exit code 2.
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import { isPageSize, MAX_PAGE_SIZE, MIN_PAGE_SIZE } from "../../src/base/brand.ts";
import { parseDuration } from "../../src/history/keep/duration.ts";

/** What every verb takes. */
export interface CommonOptions {
  readonly store: string;
  readonly endpoint?: string;
  readonly region?: string;
  readonly json?: true;
  readonly quiet?: true;
}

export interface LocalOption {
  readonly local?: string;
}

/** Adds the options that say which store is meant and how to talk. */
export function withStore(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--store <url>",
        "directory, file:, s3://bucket/prefix, https://host/path (token: PAGEFOLD_TOKEN) or memory:",
      )
        .env("PAGEFOLD_STORE")
        .argParser(nonEmpty)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option("--endpoint <url>", "address of an S3-speaking server other than AWS").argParser(httpUrl),
    )
    .addOption(new Option("--region <name>", "region of the S3 bucket").argParser(nonEmpty))
    .option("--json", "one JSON document on stdout; errors as JSON on stderr")
    .option("--quiet", "no progress bar, nothing on stderr but errors");
}

/** Adds --local; `required` for verbs that make no sense without a lasting replica. */
export function withLocal(command: Command, required: "required" | "optional"): Command {
  const option = new Option("--local <dir>", "keep pages and local commits in this directory").argParser(
    nonEmpty,
  );
  return command.addOption(required === "required" ? option.makeOptionMandatory() : option);
}

export function withLsn(command: Command): Command {
  return command.option("--lsn <n>", "as of this commit (default: the newest)", positive);
}

/** A state of the past: a commit's number, or a time, at which some commit was the newest. */
export type PastPoint = number | Date;

/** How points are written, for help texts. */
export const pointsText =
  "a commit's number, a time such as 2026-01-31T18:00:00Z (UTC without a zone), or a span ago: -90m, -2h, -3d";

/** Adds --at, which understands times too. */
export function withAt(command: Command): Command {
  return command.addOption(
    new Option(
      "--at <lsn|time>",
      "as of this commit, of this time (2026-01-31T18:00:00Z), or of so long ago (-2h, -3d)",
    )
      .argParser(lsnOrTime)
      .conflicts("lsn"),
  );
}

/** Adds --at, and --lsn, which does the same for numbers and has been there for longer. */
export function withPast(command: Command): Command {
  return withAt(withLsn(command));
}

/** The past state that `withPast` was given. */
export function pastPoint({ at, lsn }: PastOptions): PastPoint | undefined {
  return at ?? lsn;
}

export interface PastOptions {
  readonly lsn?: number;
  readonly at?: PastPoint;
}

const isoTime = /^(?<day>\d{4}-\d\d-\d\d)(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?<zone>Z|[+-]\d\d:?\d\d)?)?$/i;
const spanAgo = /^-(?<span>[0-9]{1,9}[smhdwy])$/;

/** Digits are an LSN; a time is ISO 8601, in UTC where it names no zone, or a span before now. */
export function lsnOrTime(text: string): PastPoint {
  if (/^[0-9]+$/.test(text)) return positive(text);
  const { span } = spanAgo.exec(text)?.groups ?? {};
  if (span !== undefined) return new Date(Date.now() - parseDuration(span, "a past state"));
  const { day = "", zone } = isoTime.exec(text)?.groups ?? {};
  const time = new Date(`${text.replace(" ", "T")}${zone === undefined && text !== day ? "Z" : ""}`);
  // 31 February would be a day in March.
  if (day === "" || Number.isNaN(time.getTime()) || !new Date(day).toISOString().startsWith(day)) {
    throw new InvalidArgumentError(`Give ${pointsText}.`);
  }
  return time;
}

/** As `lsnOrTime`, and 0 for the empty volume. */
export function lsnOrTimeFrom0(text: string): PastPoint {
  return /^0+$/.test(text) ? 0 : lsnOrTime(text);
}

/** A whole number from 0 to 2^53 - 1, digits only: neither "12abc" nor "1e3" nor "". */
export function count(text: string): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError("Give a whole number, digits only.");
  return value;
}

/** A whole number from 1 on. */
export function positive(text: string): number {
  const value = count(text);
  if (value === 0) throw new InvalidArgumentError("Give a whole number from 1 on.");
  return value;
}

export function pageSize(text: string): number {
  const value = count(text);
  if (!isPageSize(value)) {
    throw new InvalidArgumentError(
      `A page size is a power of two from ${MIN_PAGE_SIZE} to ${MAX_PAGE_SIZE}.`,
    );
  }
  return value;
}

export function nonEmpty(text: string): string {
  if (text.trim() === "") throw new InvalidArgumentError("It must not be empty.");
  return text;
}

function httpUrl(text: string): string {
  if (!/^https?:$/.test(URL.canParse(text) ? new URL(text).protocol : "")) {
    throw new InvalidArgumentError("Give an http:// or https:// address.");
  }
  return text;
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The same record without the keys whose value is undefined: an absent option is absent, not undefined. */
export function defined<T extends Readonly<Record<string, unknown>>>(record: T): Defined<T> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Defined<T>;
}
