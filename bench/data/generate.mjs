/**
 * Makes realistic SQLite databases of a wanted size for the benchmarks: a social network's posts whose texts are drawn from
 * WordNet, with integers, reals and two indexes. Deterministic by seed, bounded in memory at any size, cached in bench/.data.
 *
 *   node bench/data/generate.mjs MEGABYTES [SEED]      prints the path
 */
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { installFsVfs } from "./fs-vfs.mjs";

/** Changed whenever the same arguments would give other bytes, so that no stale file is used. */
const generation = 1;
const here = dirname(fileURLToPath(import.meta.url));
const cache = join(here, "../.data");
const rowsPerBatch = 5000;

/** mulberry32: small, fast, and the same everywhere. */
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function wordnetTexts(sqlite3) {
  const path = join(
    dirname(createRequire(import.meta.url).resolve("wordnet-sqlite/package.json")),
    "wordnet.dict",
  );
  const db = new sqlite3.oo1.DB(`file:${path}?vfs=node-fs&immutable=1`, "r");
  try {
    return db.selectArrays("SELECT word, trim(definition) FROM words ORDER BY rowid");
  } finally {
    db.close();
  }
}

/** The path of a database of about so many megabytes (10^6 bytes; at most one batch of rows more); made when it is not there yet. */
export async function databaseOfSize(megabytes, seed = 1) {
  const path = join(cache, `posts-${megabytes}mb-${seed}-v${generation}.sqlite`);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  const unfinished = `${path}.${process.pid}.tmp`;
  rmSync(unfinished, { force: true });
  try {
    await generate(unfinished, megabytes * 1e6, seed);
    renameSync(unfinished, path);
  } finally {
    rmSync(unfinished, { force: true });
  }
  return path;
}

async function generate(path, bytes, seed) {
  const sqlite3 = await sqlite3InitModule();
  installFsVfs(sqlite3);
  const texts = wordnetTexts(sqlite3);
  const random = seededRandom(seed);
  const below = (n) => Math.floor(random() * n);
  const db = new sqlite3.oo1.DB(`file:${path}?vfs=node-fs`, "c");
  try {
    db.exec(`
      PRAGMA page_size = 4096;
      PRAGMA journal_mode = OFF;
      PRAGMA synchronous = OFF;
      PRAGMA cache_size = -65536;
      CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, joined INTEGER NOT NULL);
      CREATE TABLE posts (id INTEGER PRIMARY KEY, author INTEGER NOT NULL, created INTEGER NOT NULL, score REAL, title TEXT NOT NULL, body TEXT NOT NULL);
      CREATE INDEX posts_author ON posts (author, created);
      CREATE INDEX posts_title ON posts (title);
    `);
    const users = Math.max(10, Math.round(bytes / 50_000));
    const user = db.prepare("INSERT INTO users VALUES (?, ?, ?)");
    db.exec("BEGIN");
    for (let id = 1; id <= users; id++) {
      user
        .bind([id, `${texts[below(texts.length)][0]}${below(1000)}`, 1_500_000_000 + below(100_000_000)])
        .stepReset();
    }
    db.exec("COMMIT");
    user.finalize();
    const post = db.prepare("INSERT INTO posts VALUES (?, ?, ?, ?, ?, ?)");
    let created = 1_600_000_000;
    for (let id = 1; statSync(path).size < bytes; ) {
      db.exec("BEGIN");
      // The last batches are small, so that the size is met closely.
      const rows = Math.min(rowsPerBatch, Math.max(1, Math.ceil((bytes - statSync(path).size) / 800)));
      for (let i = 0; i < rows; i++, id++) {
        created += below(120);
        const [word, definition] = texts[below(texts.length)];
        const sentences = [definition];
        for (let more = below(6); more > 0; more--) sentences.push(texts[below(texts.length)][1]);
        // Few authors write most posts.
        const author = 1 + Math.floor(users * random() ** 3);
        const score = Math.round(random() * 1e4) / 100;
        post
          .bind([
            id,
            author,
            created,
            score,
            `${word} ${texts[below(texts.length)][0]}`,
            sentences.join(". "),
          ])
          .stepReset();
      }
      db.exec("COMMIT");
    }
    post.finalize();
  } finally {
    db.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [megabytes, seed = "1"] = process.argv.slice(2);
  if (!/^[1-9][0-9]*$/.test(megabytes ?? "") || !/^[0-9]+$/.test(seed)) {
    console.error("usage: node bench/data/generate.mjs MEGABYTES [SEED]");
    process.exitCode = 2;
  } else {
    console.log(await databaseOfSize(Number(megabytes), Number(seed)));
  }
}
