import { Database } from "../../../vfs/index.ts";
import { usageError } from "../errors.ts";
import {
  type CommonOptions,
  defined,
  type LocalOption,
  nonEmpty,
  withLocal,
  withLsn,
  withStore,
} from "../options.ts";
import { bytesText } from "../output.ts";
import { stdinText } from "../stdin.ts";
import { table } from "../table.ts";
import type { Verb } from "../verb.ts";

interface SqlOptions extends CommonOptions, LocalOption {
  readonly lsn?: number;
}

/** `pagefold sql NAME SQL`: runs a query on the database in a volume, fetching only the pages that it touches. */
export const sqlVerb: Verb = (program, run) => {
  withLsn(withLocal(withStore(program.command("sql")), "optional"))
    .description("run a query on the database in a volume; only the pages it touches are fetched")
    .argument("<name>", "tag or volume id", nonEmpty)
    .argument(
      "<sql>",
      "the query; - reads it from stdin; of several statements the rows of the last are shown; put -- before one that begins with a dash",
      nonEmpty,
    )
    .action((name: string, sqlArgument: string, options: SqlOptions) =>
      run(options, async (session) => {
        const sql = sqlArgument === "-" ? await stdinText(session.signal) : sqlArgument;
        if (sql.trim() === "") throw usageError("there is no SQL on stdin");
        const { store, endpoint, region, local, lsn } = options;
        const database = await Database.open({
          store: { url: store, ...defined({ endpoint, region }) },
          name,
          ...defined({ local: local === undefined ? undefined : { path: local }, lsn }),
          signal: session.signal,
        });
        session.onEnd(() => database.close());
        const { columns, rows } = await database.query(sql, { signal: session.signal });
        const stats = { ...(await database.stats()), ms: session.ms() };
        const count = `${rows.length} row${rows.length === 1 ? "" : "s"} in ${stats.ms} ms`;
        const cost = `${stats.faults} faults, ${stats.requests} requests, ${bytesText(stats.bytesFetched)} fetched`;
        return { json: { columns, rows, stats }, text: table(columns, rows), talk: `${count}: ${cost}` };
      }),
    );
};
