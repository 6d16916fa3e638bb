/**
 * The querying process of the main job: opens the database of a volume from a directory that holds no page yet, runs queries of
 * different shape, and prints for each one line of JSON with what it cost.
 *
 *   node main-job.queries.mjs wordnet|schema STORE NAME LOCAL
 */
import { Database } from "pagefold/vfs";

const [shape, store, name, local] = process.argv.slice(2);

/** Title, SQL, and whether it cannot but read nearly everything. */
const wordnet = [
  ["point: a word by its index", "SELECT definition, type FROM words WHERE word = 'ocean'"],
  ["point: a row by rowid", "SELECT word, definition FROM words WHERE rowid = 123456"],
  ["range: 1,000 rows by rowid", "SELECT word, definition FROM words WHERE rowid BETWEEN 50000 AND 50999"],
  ["range: words from sea to seb", "SELECT word FROM words WHERE word BETWEEN 'sea' AND 'seb' ORDER BY word"],
  [
    "join: nouns that are verbs too",
    `SELECT noun.word, count(*) FROM words noun JOIN words verb ON verb.word = noun.word AND +verb.type = 'verb'
     WHERE +noun.type = 'noun' AND noun.word BETWEEN 'wave' AND 'wax' GROUP BY noun.word`,
  ],
  [
    "order: longest words with q",
    "SELECT word FROM words WHERE word GLOB 'q*' ORDER BY length(word) DESC LIMIT 10",
  ],
  ["aggregate: words per type", "SELECT type, count(*) AS n FROM words GROUP BY type ORDER BY n DESC"],
  [
    "text: LIKE '%lighthouse%'",
    "SELECT word FROM words WHERE definition LIKE '%lighthouse%' ORDER BY word",
    true,
  ],
  ["whole scan", "SELECT count(*), sum(length(word)), sum(length(definition)) FROM words", true],
];

const quote = (identifier) => `"${String(identifier).replaceAll('"', '""')}"`;

/** Queries for a database that we know nothing of, from its schema: cheap ones first, the whole scan last. */
async function queriesOfSchema(database) {
  const ask = async (sql) => (await database.execute(sql)).rows;
  const tables = await ask(
    `SELECT l.name FROM pragma_table_list l WHERE l.schema = 'main' AND l.type = 'table' AND l.wr = 0
     AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY l.name`,
  );
  const sized = [];
  for (const [table] of tables) {
    const [[rows]] = await ask(`SELECT coalesce(max(rowid), 0) FROM ${quote(table)}`);
    const columns = await ask(`SELECT name, type FROM pragma_table_info(${literal(table)})`);
    sized.push({ table, rows: Number(rows), columns: columns.map(([column]) => column) });
  }
  if (sized.length === 0) throw new Error("the database has no ordinary table");
  sized.sort((a, b) => b.rows - a.rows);
  const { table, rows, columns } = sized[0];
  const [t, first, last] = [quote(table), quote(columns[0]), quote(columns.at(-1))];
  const middle = Math.floor(rows / 2);
  const indexed = await ask(
    `SELECT i.name, x.name FROM pragma_index_list(${literal(table)}) i, pragma_index_info(i.name) x WHERE x.seqno = 0 AND x.name IS NOT NULL LIMIT 1`,
  );
  const other = sized[1] ?? sized[0];
  const key = indexed[0]?.[1];
  return [
    [`point: ${table} by rowid`, `SELECT * FROM ${t} WHERE rowid >= ${middle} LIMIT 1`],
    [`range: 100 rows of ${table}`, `SELECT * FROM ${t} WHERE rowid BETWEEN ${middle} AND ${middle + 99}`],
    key === undefined
      ? [`point: last row of ${table}`, `SELECT * FROM ${t} ORDER BY rowid DESC LIMIT 1`]
      : [
          `index: ${key} of ${table}`,
          `SELECT * FROM ${t} WHERE ${quote(key)} >= (SELECT ${quote(key)} FROM ${t} WHERE rowid >= ${middle} LIMIT 1) ORDER BY ${quote(key)} LIMIT 20`,
        ],
    [
      `join: ${table}, ${other.table}`,
      `SELECT a.${first}, b.rowid FROM ${t} a JOIN ${quote(other.table)} b ON b.rowid = a.rowid WHERE a.rowid BETWEEN 1 AND 50`,
    ],
    [
      `aggregate: groups of ${columns.at(-1)}`,
      `SELECT ${last}, count(*) AS n FROM ${t} WHERE rowid <= ${Math.ceil(rows / 10)} GROUP BY 1 ORDER BY n DESC LIMIT 10`,
    ],
    [
      `text: LIKE in ${table}`,
      `SELECT count(*) FROM ${t} WHERE ${columns
        .slice(0, 20)
        .map((column) => `${quote(column)} LIKE '%an%'`)
        .join(" OR ")}`,
      true,
    ],
    ...sized.slice(1).map((each) => [`scan of ${each.table}`, scanOf(each), true]),
    [`whole scan of ${table}`, scanOf(sized[0]), true],
  ];
}

const literal = (text) => `'${String(text).replaceAll("'", "''")}'`;
const scanOf = ({ table, columns }) =>
  `SELECT count(*), ${columns.map((column) => `sum(length(${quote(column)}))`).join(", ")} FROM ${quote(table)}`;

const database = await Database.open(store, name, { local: { path: local } });
try {
  const queries = shape === "wordnet" ? wordnet : await queriesOfSchema(database);
  for (const [title, sql, scans = false] of queries) {
    const before = await database.status();
    const { rows, stats } = await database.execute(sql);
    const { residentPages, pageCount } = await database.status();
    const report = {
      scans,
      name: title.length > 33 ? `${title.slice(0, 32)}…` : title,
      rows: rows.length,
      ...stats,
      newPages: residentPages - before.residentPages,
      pagesBefore: before.residentPages,
      pageCount,
    };
    console.log(JSON.stringify(report));
  }
} finally {
  await database.close();
}
