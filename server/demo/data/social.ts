/**
 * The demo's database: a social network of users, posts, comments, likes and follows, with the indexes that its queries want and a full-text
 * index of the titles. What is generated follows from size and seed; it is written to a file batch by batch, so that memory stays small.
 */
import sqlite3InitModule, { type Database as Sqlite, type Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { PagefoldError, throwIfAborted } from "../../../src/base/errors.ts";
import { exportsOf } from "../../../vfs/sqlite/exports.ts";
import { FILE_VFS, installFileVfs } from "./file-vfs.ts";
import { SeededRandom } from "./random.ts";
import { Texts } from "./texts.ts";

export interface SocialOptions {
  /** About so many bytes; within a tenth above a few megabytes. */
  readonly bytes: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** Rows so far, of all rows. */
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

/** Changed whenever the same options would give another database, so that no old one is taken for it. */
export const SOCIAL_GENERATION = 1;

/** What a post costs in the database, its comments, likes and index entries included. */
const BYTES_PER_POST = 1000;
const POSTS_PER_USER = 8;
const COMMENTS_PER_POST = 1.5;
const LIKES_PER_POST = 4;
const FOLLOWS_PER_USER = 12;
const ROWS_PER_BATCH = 4000;
/** Longer than any text here. */
const TEXT_BYTES_MAX = 65_536;
/** SQLITE_TRANSIENT: SQLite takes a copy. */
const COPY = -1;
const FIRST_DAY = 1_600_000_000;

const schema = `
  PRAGMA page_size = 4096;
  PRAGMA journal_mode = OFF;
  PRAGMA synchronous = OFF;
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA cache_size = -131072;
  CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, handle TEXT NOT NULL, city TEXT NOT NULL, joined INTEGER NOT NULL, bio TEXT NOT NULL);
  CREATE TABLE posts (id INTEGER PRIMARY KEY, author INTEGER NOT NULL REFERENCES users, created INTEGER NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL);
  CREATE TABLE comments (id INTEGER PRIMARY KEY, post INTEGER NOT NULL REFERENCES posts, author INTEGER NOT NULL REFERENCES users, created INTEGER NOT NULL, body TEXT NOT NULL);
  CREATE TABLE likes (post INTEGER NOT NULL REFERENCES posts, user INTEGER NOT NULL REFERENCES users, PRIMARY KEY (post, user)) WITHOUT ROWID;
  CREATE TABLE follows (follower INTEGER NOT NULL REFERENCES users, followee INTEGER NOT NULL REFERENCES users, PRIMARY KEY (follower, followee)) WITHOUT ROWID;
`;

/** After the rows: an index that is built at once is built faster, and lies together. */
const finish: readonly (readonly [what: string, sql: string])[] = [
  ["index of handles", "CREATE UNIQUE INDEX users_handle ON users (handle)"],
  ["index of cities", "CREATE INDEX users_city ON users (city, name)"],
  ["index of authors", "CREATE INDEX posts_author ON posts (author, created)"],
  ["index of times", "CREATE INDEX posts_created ON posts (created)"],
  ["index of comments", "CREATE INDEX comments_post ON comments (post, created)"],
  ["index of likes", "CREATE INDEX likes_user ON likes (user)"],
  ["index of follows", "CREATE INDEX follows_followee ON follows (followee)"],
  [
    "full text",
    `CREATE VIRTUAL TABLE posts_fts USING fts5(title, content = 'posts', content_rowid = 'id');
     INSERT INTO posts_fts(posts_fts) VALUES ('rebuild');
     CREATE TRIGGER posts_fts_insert AFTER INSERT ON posts BEGIN INSERT INTO posts_fts(rowid, title) VALUES (new.id, new.title); END;
     CREATE TRIGGER posts_fts_delete AFTER DELETE ON posts BEGIN INSERT INTO posts_fts(posts_fts, rowid, title) VALUES ('delete', old.id, old.title); END;
     CREATE TRIGGER posts_fts_update AFTER UPDATE OF title ON posts BEGIN
       INSERT INTO posts_fts(posts_fts, rowid, title) VALUES ('delete', old.id, old.title);
       INSERT INTO posts_fts(rowid, title) VALUES (new.id, new.title);
     END`,
  ],
  ["statistics", "PRAGMA analysis_limit = 1000; ANALYZE"],
];

/** Writes the database into a new file at `path`. @throws `aborted`, and what SQLite says of a full disk */
export async function generateSocial(path: string, options: SocialOptions): Promise<void> {
  const sqlite3 = await sqlite3InitModule();
  installFileVfs(sqlite3);
  const db = new sqlite3.oo1.DB(`file:${encodeURI(path)}?vfs=${FILE_VFS}`, "c");
  try {
    db.exec(schema);
    const inserter = new Inserter(sqlite3, db);
    const steps = tablesOf(options);
    let done = 0;
    const total = steps.reduce((sum, { count }) => sum + count, 0);
    for (const step of steps) {
      for (let from = 0; from < step.count; from += ROWS_PER_BATCH) {
        const rows = Math.min(ROWS_PER_BATCH, step.count - from);
        inserter.insert(step, from, rows);
        done += rows;
        options.onProgress?.(step.table, done, total);
        await breathe(options.signal);
      }
    }
    inserter.free();
    for (const [what, sql] of finish) {
      options.onProgress?.(what, total, total);
      db.exec(sql);
      await breathe(options.signal);
    }
  } finally {
    db.close();
  }
}

type Row = readonly (number | string)[];

interface Table {
  readonly table: string;
  readonly columns: number;
  readonly count: number;
  /** Called for 0, 1, 2 … in order. */
  readonly rowOf: (i: number) => Row;
}

function tablesOf({ bytes, seed }: SocialOptions): Table[] {
  const random = new SeededRandom(seed);
  const texts = new Texts(random);
  const posts = Math.max(20, Math.round(bytes / BYTES_PER_POST));
  const users = Math.max(10, Math.round(posts / POSTS_PER_USER));
  const author = (): number => 1 + random.skewed(users, 2.5);
  let time = FIRST_DAY;
  const user = (i: number): Row => {
    const name = texts.name();
    const handle = `${name.toLowerCase().replace(" ", ".")}.${i + 1}`;
    return [i + 1, name, handle, texts.city(), FIRST_DAY - random.below(90_000_000), texts.sentences(1)];
  };
  const post = (i: number): Row => {
    time += random.below(240);
    return [i + 1, author(), time, texts.title(), texts.sentences(4 + random.below(9))];
  };
  const comment = (i: number): Row => {
    // Of a post about as old as the comment, as most are: what belongs together lies together.
    const near = Math.floor(i / COMMENTS_PER_POST) - random.skewed(2000, 3);
    const id = 1 + Math.min(posts - 1, Math.max(0, near));
    return [i + 1, id, author(), FIRST_DAY + id * 120 + random.below(90_000), texts.sentences(1)];
  };
  const likes = distinctPairs(random, posts, LIKES_PER_POST, users);
  const follows = distinctPairs(random, users, FOLLOWS_PER_USER, users);
  return [
    { table: "users", columns: 6, count: users, rowOf: user },
    { table: "posts", columns: 5, count: posts, rowOf: post },
    { table: "comments", columns: 5, count: Math.round(posts * COMMENTS_PER_POST), rowOf: comment },
    { table: "likes", columns: 2, count: posts * LIKES_PER_POST, rowOf: likes },
    { table: "follows", columns: 2, count: users * FOLLOWS_PER_USER, rowOf: follows },
  ];
}

/** Pairs in the order of their first members, `each` for each of them, no two alike where there are enough second ones. */
function distinctPairs(
  random: SeededRandom,
  firsts: number,
  each: number,
  seconds: number,
): (i: number) => Row {
  let taken = new Set<number>();
  return (i) => {
    if (i % each === 0) taken = new Set();
    let second = 1 + random.skewed(seconds, 1.7);
    while (taken.has(second)) second = (second % seconds) + 1;
    taken.add(second);
    return [1 + (Math.floor(i / each) % firsts), second];
  };
}

/** Inserts rows through the functions of the module itself: the package's wrappers take longer than SQLite for rows so small. */
class Inserter {
  readonly #sqlite3: Sqlite3Static;
  readonly #db: Sqlite;
  readonly #encoder = new TextEncoder();
  /** Where texts are put for SQLite to copy. */
  readonly #scratch: number;

  constructor(sqlite3: Sqlite3Static, db: Sqlite) {
    this.#sqlite3 = sqlite3;
    this.#db = db;
    this.#scratch = sqlite3.wasm.alloc(TEXT_BYTES_MAX);
  }

  insert({ table, columns, rowOf }: Table, from: number, rows: number): void {
    const db = this.#db;
    db.exec("BEGIN");
    const statement = db.prepare(`INSERT INTO ${table} VALUES (${new Array(columns).fill("?").join(", ")})`);
    try {
      for (let i = from; i < from + rows; i++)
        this.#insertRow(statement.pointer as unknown as number, rowOf(i));
    } finally {
      statement.finalize();
    }
    db.exec("COMMIT");
  }

  free(): void {
    this.#sqlite3.wasm.dealloc(this.#scratch);
  }

  #insertRow(statement: number, row: Row): void {
    const { capi, wasm } = this.#sqlite3;
    const raw = exportsOf(this.#sqlite3);
    for (let i = 0; i < row.length; i++) {
      const value = row[i]!;
      if (typeof value === "number") {
        raw.sqlite3_bind_int64(statement, i + 1, BigInt(value));
        continue;
      }
      const into = wasm.heap8u().subarray(this.#scratch, this.#scratch + TEXT_BYTES_MAX);
      const { written } = this.#encoder.encodeInto(value, into);
      raw.sqlite3_bind_text(statement, i + 1, this.#scratch, written, COPY);
    }
    if (raw.sqlite3_step(statement) !== capi.SQLITE_DONE) {
      throw new PagefoldError(
        "quota",
        `the demo's database cannot be written: ${capi.sqlite3_errmsg(this.#db)}; free some space and start again`,
      );
    }
    raw.sqlite3_reset(statement);
  }
}

/** Lets the event loop have a turn: progress is printed, signals are heard. */
async function breathe(signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
  throwIfAborted(signal, "generating the demo's database");
}
