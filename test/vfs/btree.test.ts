/** Pages of databases as they are read without SQLite: what SQLite wrote is understood, what is damaged is `corrupt` and nothing worse. */
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { ownersOf } from "../../vfs/btree/owners.ts";
import { databaseHeader, isBookkeeping } from "../../vfs/btree/page.ts";
import { type DatabaseBytes, DatabaseReader } from "../../vfs/btree/reader.ts";
import { readSchemaObjects } from "../../vfs/btree/schema.ts";
import { seededRandom } from "../local/xxh64.ts";
import { testSeed } from "../store/support.ts";
import { buildDatabase } from "./sqlite.ts";

function bytesOf(bytes: Uint8Array): DatabaseBytes {
  return {
    ...{ byteLength: bytes.length, lsn: 1 as Lsn },
    read: async (offset, length) => bytes.slice(offset, offset + length),
  };
}

async function readerOf(bytes: Uint8Array): Promise<DatabaseReader> {
  const reader = await DatabaseReader.open(bytesOf(bytes));
  if (reader === undefined) throw new Error("no database");
  return reader;
}

const columns = Array.from({ length: 300 }, (_, i) => `column_${i} TEXT DEFAULT 'value ${i}'`).join(", ");
const SCHEMA = `CREATE TABLE "größe 東京"(a PRIMARY KEY, b UNIQUE); CREATE TABLE wide(${columns}); CREATE INDEX by_b ON wide(column_1);
  CREATE VIEW v AS SELECT 1; CREATE TRIGGER t AFTER DELETE ON wide BEGIN SELECT 1; END; CREATE VIRTUAL TABLE words USING fts5(text)`;

describe("the schema", () => {
  it("is what SQLite says it is, in any encoding, also where its SQL fills several pages", async () => {
    for (const encoding of ["UTF-8", "UTF-16le", "UTF-16be"]) {
      const bytes = await buildDatabase(
        `PRAGMA encoding = '${encoding}'; PRAGMA page_size = 1024; ${SCHEMA}`,
      );
      const objects = await readSchemaObjects(await readerOf(bytes));
      const found = objects.map(({ kind, name, table }) => `${kind} ${name} ${table}`).sort();
      expect(found, encoding).toEqual(
        [
          ...[
            "table größe 東京 größe 東京",
            "table wide wide",
            "index by_b wide",
            "view v v",
            "trigger t wide",
          ],
          ...[1, 2].map((n) => `index sqlite_autoindex_größe 東京_${n} größe 東京`),
          ...["words", "words_config", "words_content", "words_data", "words_docsize", "words_idx"].map(
            (name) => `table ${name} ${name}`,
          ),
        ].sort(),
      );
      const wide = objects.find(({ name }) => name === "wide");
      expect(wide?.sql).toBe(`CREATE TABLE wide(${columns})`);
      expect(objects.find(({ name }) => name === "v")).toMatchObject({ root: 0 });
      expect(objects.find(({ name }) => name === "words")).toMatchObject({ root: 0 });
      expect(objects.filter(({ kind, sql }) => kind === "index" && sql === undefined)).toHaveLength(2);
    }
  });

  it("of page sizes from 512 to 65536, and of bytes that are no database", async () => {
    for (const size of [512, 65_536]) {
      const bytes = await buildDatabase(`PRAGMA page_size = ${size}; CREATE TABLE a(x); CREATE TABLE b(x)`);
      const reader = await readerOf(bytes);
      expect(reader.header.pageSize).toBe(size);
      expect((await readSchemaObjects(reader)).map(({ name }) => name)).toEqual(["a", "b"]);
    }
    expect(await DatabaseReader.open(bytesOf(new Uint8Array(0)))).toBeUndefined();
    expect(await DatabaseReader.open(bytesOf(new Uint8Array(5000).fill(65)))).toBeUndefined();
  });
});

it("the page of the lock bytes belongs to no table, nor do pointer maps", () => {
  const header = { ...databaseHeaderOf(4096), hasPointerMaps: false };
  const lock = 2 ** 30 / 4096 + 1;
  expect([1, 2, lock - 1, lock, lock + 1].filter((page) => isBookkeeping(header, page))).toEqual([lock]);
  const mapped = { ...header, hasPointerMaps: true };
  // One map for 819 pages: 2, 822, 1642 …; the one that would lie where the lock bytes are moves on.
  expect([1, 2, 3, 821, 822, 823, 1642].filter((page) => isBookkeeping(mapped, page))).toEqual([
    2, 822, 1642,
  ]);
});

function databaseHeaderOf(pageSize: number) {
  const bytes = new Uint8Array(100);
  bytes.set(new TextEncoder().encode("SQLite format 3\0"));
  new DataView(bytes.buffer).setUint16(16, pageSize);
  return databaseHeader(bytes)!;
}

describe("damage", () => {
  it("anywhere ends with an answer or `corrupt`", async () => {
    const bytes = await buildDatabase(
      `PRAGMA page_size = 512; CREATE TABLE a(i INTEGER PRIMARY KEY, s); CREATE INDEX a_s ON a(s);
       WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 400) INSERT INTO a SELECT i, hex(randomblob(i % 300)) FROM c;
       DELETE FROM a WHERE i % 7 = 0`,
    );
    const random = seededRandom(testSeed);
    const outcomes = { answers: 0, corrupt: 0 };
    for (let i = 0; i < 300; i++) {
      const bad = bytes.slice();
      // Where the structure is: the beginnings of pages, and what points from there.
      const page = Math.floor(random() * (bad.length / 512));
      for (let k = 0; k < 3; k++) {
        const at =
          page * 512 +
          (page === 0 && random() < 0.5 ? 28 + Math.floor(random() * 90) : Math.floor(random() * 40));
        bad[at] = Math.floor(random() * 256);
      }
      try {
        const reader = await DatabaseReader.open(bytesOf(bad));
        if (reader !== undefined) {
          const objects = await readSchemaObjects(reader);
          const roots = [1, ...objects.map(({ root }) => root).filter((root) => root > 0)];
          const all = PageSet.range(1, reader.pageCount);
          const owners = await ownersOf(reader, roots, all, { thorough: true });
          const total = owners.pages.reduce((sum, pages) => sum + pages, 0);
          expect(total + owners.free + owners.bookkeeping + owners.unknown).toBe(reader.pageCount);
        }
        outcomes.answers++;
      } catch (error) {
        if (!isPagefoldError(error, "corrupt")) throw error;
        outcomes.corrupt++;
      }
    }
    expect(outcomes.answers).toBeGreaterThan(10);
    expect(outcomes.corrupt).toBeGreaterThan(10);
  });
});
