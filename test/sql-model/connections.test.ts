/** What the model has found where several connections of one VFS have the same database open. */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, it } from "vitest";
import { loadCodecs } from "../../src/format/codecs.ts";
import { reader } from "./checks.ts";
import type { Options } from "./site.ts";
import { pull, push, reset } from "./verbs.ts";
import { World } from "./world.ts";

const OPTIONS: Options = {
  seed: 1,
  pageSize: 4096,
  memoryBytes: 2 ** 22,
  diskBytes: 0,
  transactionBytes: 2 ** 22,
  tempBytes: 2 ** 22,
  relaxed: false,
  suspending: false,
};

it("a pull replaces the schema of a connection while a younger one reads", async () => {
  const sqlite3 = await sqlite3InitModule();
  sqlite3.config.warn = () => {};
  const world = await World.create({ sqlite3, codecs: await loadCodecs() }, OPTIONS, []);
  const [a, b] = world.replicas;
  world.current = b!;
  await world.sql("CREATE TABLE theirs(x)");
  await push(world);
  // The same schema cookie as theirs has.
  world.current = a!;
  await world.sql("CREATE TABLE ours(x)");
  await world.sql("SELECT * FROM ours");
  await reader(world);
  await reset(world);
  await pull(world);
  await world.sql("SELECT * FROM theirs");
  await world.sql("SELECT * FROM ours");
  await reader(world);
  expect(world.seen.get("pull")).toBe(1);
  await world.close();
});
