/**
 * A social network of more than 100 MB, for queries of the kinds that applications ask: joins, reverse lookups, a covering index, full text.
 * Deterministic by seed, cached in bench/.data.
 *
 *   node bench/data/social.mjs      prints the path
 */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { installFsVfs } from "./fs-vfs.mjs";
import { seededRandom, wordnetTexts } from "./generate.mjs";

const generation = 1;
const here = dirname(fileURLToPath(import.meta.url));
const cache = join(here, "../.data");

const counts = { users: 20_000, posts: 100_000, comments: 200_000, likes: 600_000, follows: 400_000 };

/** What is asked, each against an empty cache. */
export const socialQueries = [
  {
    name: "post and author by id",
    sql: "SELECT p.title, p.body, u.name FROM posts p JOIN users u ON u.id = p.author WHERE p.id = 54321",
  },
  {
    name: "profile, five joins",
    sql: `SELECT u.name, p.title, c.body, cu.name, (SELECT count(*) FROM likes l WHERE l.post = p.id)
      FROM users u JOIN posts p ON p.author = u.id JOIN comments c ON c.post = p.id JOIN users cu ON cu.id = c.author
      LEFT JOIN follows f ON f.follower = u.id AND f.followee = cu.id
      WHERE u.id = 777 ORDER BY p.created DESC, c.id LIMIT 20`,
  },
  {
    name: "who liked",
    sql: "SELECT u.id, u.name FROM likes l JOIN users u ON u.id = l.user WHERE l.post = 4321 ORDER BY u.id",
  },
  {
    name: "mutual follows",
    sql: `SELECT u.id, u.name FROM follows a JOIN follows b ON b.follower = a.followee AND b.followee = a.follower
      JOIN users u ON u.id = a.followee WHERE a.follower = 123 ORDER BY u.id`,
  },
  {
    name: "covering index",
    sql: "SELECT count(*), max(created) FROM posts WHERE author = 4242 AND created > 0",
  },
  {
    name: "full text by rank",
    sql: "SELECT rowid FROM posts_text WHERE posts_text MATCH 'water' ORDER BY rank LIMIT 10",
  },
];

export async function socialDatabase(seed = 1) {
  const path = join(cache, `social-${seed}-v${generation}.sqlite`);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  const unfinished = `${path}.${process.pid}.tmp`;
  rmSync(unfinished, { force: true });
  try {
    await generate(unfinished, seed);
    renameSync(unfinished, path);
  } finally {
    rmSync(unfinished, { force: true });
  }
  return path;
}

async function generate(path, seed) {
  const sqlite3 = await sqlite3InitModule();
  installFsVfs(sqlite3);
  const texts = wordnetTexts(sqlite3);
  const random = seededRandom(seed);
  const below = (n) => Math.floor(random() * n);
  const word = () => texts[below(texts.length)];
  const db = new sqlite3.oo1.DB(`file:${path}?vfs=node-fs`, "c");
  const fill = (sql, count, values) => {
    const insert = db.prepare(sql);
    for (let i = 1; i <= count; i++) insert.bind(values(i)).stepReset();
    insert.finalize();
  };
  try {
    db.exec(`
      PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;
      CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, bio TEXT NOT NULL, joined INTEGER NOT NULL);
      CREATE TABLE posts (id INTEGER PRIMARY KEY, author INTEGER NOT NULL, created INTEGER NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL);
      CREATE INDEX posts_author ON posts (author, created);
      CREATE TABLE comments (id INTEGER PRIMARY KEY, post INTEGER NOT NULL, author INTEGER NOT NULL, body TEXT NOT NULL);
      CREATE INDEX comments_post ON comments (post);
      CREATE TABLE likes (id INTEGER PRIMARY KEY, post INTEGER NOT NULL, user INTEGER NOT NULL, at INTEGER NOT NULL);
      CREATE INDEX likes_post ON likes (post, user);
      CREATE INDEX likes_user ON likes (user);
      CREATE TABLE follows (follower INTEGER NOT NULL, followee INTEGER NOT NULL, PRIMARY KEY (follower, followee)) WITHOUT ROWID;
      CREATE INDEX follows_followee ON follows (followee);
      CREATE VIRTUAL TABLE posts_text USING fts5(title, body, content='posts', content_rowid='id');
      BEGIN;
    `);
    const { users, posts } = counts;
    const popular = (n) => 1 + Math.floor(n * random() ** 2);
    fill("INSERT INTO users VALUES (?, ?, ?, ?)", users, (id) => [
      id,
      `${word()[0]}${id}`,
      `${word()[1]}. ${word()[1]}`,
      1_500_000_000 + below(1e8),
    ]);
    fill("INSERT INTO posts VALUES (?, ?, ?, ?, ?)", posts, (id) => [
      id,
      popular(users),
      1_600_000_000 + id * 60 + below(60),
      `${word()[0]} ${word()[0]} ${word()[0]}`,
      Array.from({ length: 2 + below(6) }, () => word()[1]).join(". "),
    ]);
    fill("INSERT INTO comments VALUES (?, ?, ?, ?)", counts.comments, (id) => [
      id,
      1 + below(posts),
      1 + below(users),
      word()[1],
    ]);
    fill("INSERT INTO likes VALUES (?, ?, ?, ?)", counts.likes, (id) => [
      id,
      popular(posts),
      1 + below(users),
      1_600_000_000 + id,
    ]);
    fill("INSERT OR IGNORE INTO follows VALUES (?, ?)", counts.follows, () => [
      popular(users),
      popular(users),
    ]);
    db.exec("COMMIT; INSERT INTO posts_text(posts_text) VALUES ('rebuild')");
  } finally {
    db.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await socialDatabase());
