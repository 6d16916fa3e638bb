/** What is in a database, as `sqlite_schema` says: read from its pages, without SQLite. */
import { concatBytes } from "../../src/format/bytes.ts";
import { type Cell, damaged, varint, viewOf } from "./page.ts";
import type { DatabaseReader } from "./reader.ts";

export interface SchemaObject {
  readonly kind: "table" | "index" | "view" | "trigger";
  readonly name: string;
  /** The table that it belongs to; of a table or a view its own name. */
  readonly table: string;
  /** Where its tree begins; 0 where it has none (views, triggers, virtual tables). */
  readonly root: number;
  readonly sql: string | undefined;
}

/** In no order that means anything. @throws `corrupt` */
export async function readSchemaObjects(reader: DatabaseReader): Promise<SchemaObject[]> {
  const objects: SchemaObject[] = [];
  const seen = new Set<number>();
  let level = [1];
  while (level.length > 0) {
    for (const page of level) {
      if (seen.has(page)) throw damaged(page, "the tree of sqlite_schema comes back to it");
      seen.add(page);
    }
    const pages = await Promise.all(level.map((page) => reader.btree(page)));
    for (const page of pages) {
      for (const cell of page.cells()) {
        const object = objectIn(await payloadOf(reader, cell), reader);
        if (object !== undefined) objects.push(object);
      }
    }
    level = pages.flatMap((page) => [...page.children()]);
  }
  return objects;
}

async function payloadOf(reader: DatabaseReader, cell: Cell): Promise<Uint8Array> {
  if (cell.overflow === undefined) return cell.local;
  const parts = [cell.local];
  for await (const { content } of reader.overflow(cell.overflow)) parts.push(content);
  return concatBytes(parts).subarray(0, cell.payloadBytes);
}

function objectIn(record: Uint8Array, reader: DatabaseReader): SchemaObject | undefined {
  const [kind, name, table, root, sql] = valuesOf(record, reader.header.encoding);
  if (kind !== "table" && kind !== "index" && kind !== "view" && kind !== "trigger") return undefined;
  return {
    kind,
    name: String(name),
    table: String(table),
    root: typeof root === "number" ? root : 0,
    sql: typeof sql === "string" ? sql : undefined,
  };
}

/** The text and integers of a record (2.1 of the file format); others are undefined, here there are none. */
function valuesOf(record: Uint8Array, encoding: string): (string | number | undefined)[] {
  const headerBytes = varint(record, 0);
  if (headerBytes === undefined || headerBytes.value > record.length)
    throw damaged(1, "a record has no header");
  const values: (string | number | undefined)[] = [];
  let body = headerBytes.value;
  for (let at = headerBytes.end; at < headerBytes.value; ) {
    const type = varint(record, at);
    if (type === undefined) throw damaged(1, "a record ends within its header");
    at = type.end;
    const length = type.value >= 12 ? Math.floor((type.value - 12) / 2) : (INTEGER_BYTES[type.value] ?? 0);
    const bytes = record.subarray(body, body + length);
    if (bytes.length < length) throw damaged(1, "a record ends within a value");
    body += length;
    values.push(fieldOf(type.value, bytes, encoding));
  }
  return values;
}

/** Of types 0 to 9. */
const INTEGER_BYTES = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0];

function fieldOf(type: number, bytes: Uint8Array, encoding: string): string | number | undefined {
  if (type >= 13 && type % 2 === 1) return new TextDecoder(encoding).decode(bytes);
  if (type === 8 || type === 9) return type - 8;
  // Numbers of pages have 32 bits.
  if (type < 1 || type > 6) return undefined;
  const last = new Uint8Array(8);
  last.set(bytes, 8 - bytes.length);
  return viewOf(last).getUint32(4);
}
