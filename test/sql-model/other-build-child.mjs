/** Answers queries with `node:sqlite`: a line of JSON with a path and queries in, a line with the first column of each query's rows out. */
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";

for await (const line of createInterface({ input: process.stdin })) {
  const { path, queries } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(answer(path, queries))}\n`);
}

function answer(path, queries) {
  const database = new DatabaseSync(path);
  try {
    const results = queries.map((query) =>
      database
        .prepare(query)
        .all()
        .map((row) => String(Object.values(row)[0])),
    );
    return { results };
  } catch (error) {
    return { error: String(error) };
  } finally {
    database.close();
  }
}
