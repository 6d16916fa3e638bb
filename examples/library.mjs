import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { importFile, openStore } from "pagefold/node";

const dir = await mkdtemp(join(tmpdir(), "pagefold-"));
await writeFile(join(dir, "notes.txt"), "the first version\n".repeat(10_000));

// One side imports a file: a versioned volume in an object store, here a directory ("s3://bucket/prefix" works the same).
const writer = await openStore(join(dir, "store"), { create: true });
await importFile(writer, join(dir, "notes.txt"), { tag: "notes" });

// The other side, from an empty directory, knows the whole log and fetches only what it reads.
const reader = await openStore(join(dir, "store"), { local: join(dir, "replica") });
const notes = await reader.volume("notes");
console.log(new TextDecoder().decode(await notes.read(36, 17)), notes.status().residentPages, "pages here");

// Writing is local and durable; a push makes it one atomic commit that exactly one writer can win.
const before = notes.snapshot();
await notes.write(0, new TextEncoder().encode("THE OTHER"));
console.log(await notes.push());

// A snapshot keeps its bytes for ever; a reader moves on by learning only what changed.
const follower = await writer.volume("notes");
console.log(await follower.pull(), new TextDecoder().decode(await follower.read(0, 18)));
console.log(new TextDecoder().decode(await before.read(0, 17)));
before.close();
await Promise.all([reader.close(), writer.close()]);
