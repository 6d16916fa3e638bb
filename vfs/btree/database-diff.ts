/**
 * What changed in a database between two points of its volume's log: which tables and indexes, as far as pages tell. SQLite is not needed for it: the
 * schema and the inner pages of the trees are read out of the two states.
 */
import { type PageSet, PageSetBuilder } from "../../src/format/page-set.ts";
import type { StateDiff } from "../../src/history/travel/diff.ts";
import type { Volume } from "../../src/store/volume.ts";
import { type OwnerOptions, ownersOf } from "./owners.ts";
import { DatabaseReader } from "./reader.ts";
import { readSchemaObjects, type SchemaObject } from "./schema.ts";

export interface DatabaseDiffOptions extends OwnerOptions {
  /** Leaves out pages that were written with the bytes that they had; see `Volume.diff`. */
  readonly exact?: boolean;
}

/** A table, index, view or trigger that is not what it was. */
export interface ObjectDiff {
  readonly kind: SchemaObject["kind"];
  readonly name: string;
  /** The table that it belongs to. */
  readonly table: string;
  /** `altered`: its SQL is another (its content may be, too); `content`: only what is in it. */
  readonly change: "created" | "dropped" | "altered" | "content";
  /** Pages of it, in `to`, that differ. A dropped one has none. */
  readonly pages: number;
}

/** Plain data: it travels through ports, and is printed. */
export interface DatabaseDiff {
  readonly from: number;
  readonly to: number;
  readonly exact: boolean;
  readonly pageCountFrom: number;
  readonly pageCountTo: number;
  readonly byteLengthFrom: number;
  readonly byteLengthTo: number;
  /** Pages of the volume that differ, as runs [first, last]. */
  readonly pages: readonly (readonly [number, number])[];
  readonly changedPages: number;
  /** Of those, the ones that read as zeros in `to`; as far as `Volume.diff` tells. */
  readonly zeroedPages: number;
  /** Pages past the end of `to` that `from` has. */
  readonly gonePages: number;
  /** By the pages that differ, most first. Undefined where neither state is a database. */
  readonly objects: readonly ObjectDiff[] | undefined;
  /** Of the pages of the database that differ: on the list of free pages. */
  readonly freePages: number;
  /** Parts of large rows that were overwritten in place: of which table, only `thorough` finds out. */
  readonly unknownPages: number;
  /** The header of the database (its first page changes with every transaction), pointer maps. */
  readonly otherPages: number;
}

/** @throws `not_found` for a point that this side has not seen, `corrupt` for a damaged tree */
export async function diffDatabase(
  volume: Volume,
  a: number | Date,
  b: number | Date,
  options: DatabaseDiffOptions = {},
): Promise<DatabaseDiff> {
  const { signal } = options;
  const reading = signal === undefined ? {} : { signal };
  const diff = await volume.diff(a, b, options);
  const before = await volume.at(diff.from, reading);
  try {
    const after = await volume.at(diff.to, reading);
    try {
      const [from, to] = await Promise.all([
        DatabaseReader.open(before, reading),
        DatabaseReader.open(after, reading),
      ]);
      const plain = plainDiff(diff);
      if (from === undefined && to === undefined) return { ...plain, ...nothingKnown };
      return { ...plain, ...(await objectsOf(from, to, diff, volume.pageSize, options)) };
    } finally {
      after.close();
    }
  } finally {
    before.close();
  }
}

type Pages = Pick<DatabaseDiff, "objects" | "freePages" | "unknownPages" | "otherPages">;

const nothingKnown: Pages = { objects: undefined, freePages: 0, unknownPages: 0, otherPages: 0 };

function plainDiff({ pages, zeroed, gone, ...rest }: StateDiff): Omit<DatabaseDiff, keyof Pages> {
  return {
    ...rest,
    pages: [...pages.runs()].map(({ first, last }) => [first, last] as const),
    changedPages: pages.size,
    zeroedPages: zeroed.size,
    gonePages: gone.size,
  };
}

async function objectsOf(
  from: DatabaseReader | undefined,
  to: DatabaseReader | undefined,
  diff: StateDiff,
  pageSize: number,
  options: DatabaseDiffOptions,
): Promise<Pages> {
  const schemaOf = async (reader: DatabaseReader | undefined): Promise<SchemaObject[]> =>
    reader === undefined ? [] : readSchemaObjects(reader);
  const [before, after] = await Promise.all([schemaOf(from), schemaOf(to)]);
  const trees = after.filter(({ root }) => root > 0);
  const roots = [1, ...trees.map(({ root }) => root)];
  // A tree in which no page differs is what it was: so the pages that `to` has tell everything.
  const owners =
    to === undefined
      ? undefined
      : await ownersOf(to, roots, databasePages(diff.pages, pageSize, to), options);
  const counts = new Map(trees.map((object, i) => [object, owners?.pages[i + 1] ?? 0]));
  const objects = changesOf(before, after, counts);
  return {
    objects: objects.sort((x, y) => y.pages - x.pages || compare(x.name, y.name)),
    freePages: owners?.free ?? 0,
    unknownPages: owners?.unknown ?? 0,
    otherPages: (owners?.bookkeeping ?? 0) + (owners?.pages[0] ?? 0),
  };
}

function changesOf(
  before: readonly SchemaObject[],
  after: readonly SchemaObject[],
  counts: ReadonlyMap<SchemaObject, number>,
): ObjectDiff[] {
  const old = new Map(before.map((object) => [keyOf(object), object]));
  const changes: ObjectDiff[] = [];
  const add = ({ kind, name, table }: SchemaObject, change: ObjectDiff["change"], pages: number): void => {
    changes.push({ kind, name, table, change, pages });
  };
  for (const object of after) {
    const was = old.get(keyOf(object));
    old.delete(keyOf(object));
    const pages = counts.get(object) ?? 0;
    if (was === undefined) add(object, "created", pages);
    else if (was.sql !== object.sql || was.table !== object.table) add(object, "altered", pages);
    else if (pages > 0) add(object, "content", pages);
  }
  for (const object of old.values()) add(object, "dropped", 0);
  return changes;
}

/** Names are of one kind of object at a time, and what is dropped and made again as another kind is two changes. */
function keyOf({ kind, name }: SchemaObject): string {
  return `${kind} ${name}`;
}

/** The pages of the database that lie in pages of the volume: the same ones where both are as large. */
function databasePages(pages: PageSet, pageSize: number, { header, pageCount }: DatabaseReader): PageSet {
  if (pageSize === header.pageSize) return pages.clampTo(pageCount);
  const builder = new PageSetBuilder();
  for (const { first, last } of pages.runs()) {
    const from = Math.floor(((first - 1) * pageSize) / header.pageSize) + 1;
    const to = Math.ceil((last * pageSize) / header.pageSize);
    builder.mergeRun(from, to);
  }
  return builder.build().clampTo(pageCount);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
