/** What is held against the oracle beyond the outcome of a statement: whole databases, the past, new replicas, exported files. */
import { expect } from "vitest";
import { type Content, contentOf, expectContent, expectOutcome } from "./content.ts";
import { type Image, Oracle } from "./oracle.ts";
import { contentQueries, type OtherBuild } from "./other-build.ts";
import { Site } from "./site.ts";
import type { World } from "./world.ts";

/** The whole database as the connection sees it is what SQLite alone has, and sound. */
export async function check(world: World, when: string): Promise<void> {
  const { site } = world.current;
  for (const sql of ["PRAGMA integrity_check", "PRAGMA foreign_key_check"])
    expectOutcome(await site.run(sql), site.oracle.run(sql), `${when}: ${sql}`);
  expectContent(await site.contentOnVfs(), await site.contentOfOracle(), when);
}

/** Invariant 1: what an LSN held is there for ever. */
export async function checkPast(world: World, lsn: number): Promise<void> {
  const { site } = world.current;
  const found = await site.pastContent(lsn);
  expectContent(found, await contentOfImage(world, world.images[lsn]!), `invariant 1: LSN ${lsn}`);
  world.note("past");
}

async function contentOfImage(world: World, image: Image): Promise<Content> {
  const oracle = new Oracle(world.shared.sqlite3, image);
  if (image.length === 0) oracle.run(`PRAGMA page_size = ${world.shared.options.pageSize}`);
  try {
    return await contentOf((sql) => oracle.run(sql));
  } finally {
    oracle.close();
  }
}

/** Invariant 1: a transaction of another connection sees what it saw when it began. */
export async function reader(world: World): Promise<void> {
  const { site } = world.current;
  if (site.reader === undefined) return site.openReader();
  expectContent(await site.readAgain(), site.reader.content, "invariant 1: a reader's transaction");
  await site.closeReader();
  world.note("reader");
}

/** Invariant 6: a replica that has fetched nothing reads what the others have. */
export async function checkFresh(world: World): Promise<Uint8Array> {
  const fresh = await Site.open(`fresh`, world.shared, false);
  try {
    const found = await fresh.contentOnVfs();
    expectContent(
      found,
      await contentOfImage(world, world.images[world.head]!),
      "invariant 6: a new replica",
    );
    const bytes = await fresh.bytes();
    // Nearly always: what a rollback leaves in pages that are free depends on when SQLite's cache spilled.
    if (Buffer.compare(bytes, world.images[world.head]!) === 0)
      world.note("same bytes as SQLite alone writes");
    return bytes;
  } finally {
    await fresh.close();
  }
}

/** The database, exported, is sound for another build of SQLite, and holds the same. To be called when all have converged. */
export async function checkElsewhere(world: World, build: OtherBuild, path: string): Promise<void> {
  await world.current.site.export(path);
  const oracle = new Oracle(world.shared.sqlite3, world.images[world.head]!);
  try {
    const queries = contentQueries(oracle);
    const [integrity, ...found] = await build.ask(path, ["PRAGMA integrity_check", ...queries]);
    expect(integrity, `integrity_check of ${build.name}`).toEqual(["ok"]);
    for (const [i, query] of queries.entries()) {
      const rows = oracle.run(query).rows.map(([text]) => String(text));
      if (rows.join("\n") !== found[i]!.join("\n")) expect(found[i], `${build.name}: ${query}`).toEqual(rows);
    }
  } finally {
    oracle.close();
  }
  world.note("opened by another build");
}
