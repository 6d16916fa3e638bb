/** SQL on a volume, from two sides: transactions, a push, a live query, a lost race, the past. `npm run build` first. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "pagefold/vfs";

const store = { url: await mkdtemp(join(tmpdir(), "pagefold-")) };
const db = await Database.open(store, "notes", { create: true });
await db.exec("CREATE TABLE notes(id INTEGER PRIMARY KEY, text TEXT NOT NULL)");

// One transaction is one local commit; when the callback throws, it is rolled back.
await db.transaction(async (tx) => {
  for (const text of ["milk", "eggs"]) await tx.exec("INSERT INTO notes(text) VALUES (?)", [text]);
});
console.log(await db.push()); // all local commits, as one remote commit: { outcome: "pushed", lsn: 1, … }

// Another process, browser or machine: it knows the log at once and fetches pages as they are read.
const other = await Database.open(store, "notes");
console.log(await other.query("SELECT * FROM notes WHERE text LIKE ?", ["m%"]));

// Both write; one wins the push, the other makes its changes again on the newest state.
await other.sql`INSERT INTO notes(text) VALUES (${"bread"})`;
await other.push();
await db.exec("INSERT INTO notes(text) VALUES ('tea')");
const again = (tx) => tx.exec("INSERT INTO notes(text) VALUES ('tea')");
console.log(await db.push({ onDiverged: again })); // { outcome: "pushed", replays: 1, … }

// A query that is told again whenever its rows change, here by a pull.
for await (const [{ n }] of other.live("SELECT count(*) AS n FROM notes")) {
  console.log("notes:", n);
  if (n === 4) break;
  await other.pull();
}

// Rows one by one, and the database as it was.
for await (const { text } of db.iterate("SELECT text FROM notes")) console.log(text);
const past = await db.at(1);
console.log(await past.queryOne("SELECT count(*) AS n FROM notes"));
await Promise.all([db.close(), other.close()]);
