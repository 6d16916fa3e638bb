import { Option } from "commander";
import {
  type CommonOptions,
  defined,
  lsnOrTime,
  nonEmpty,
  type PastPoint,
  pointsText,
  positive,
  withAt,
  withStore,
} from "../options.ts";
import { table } from "../table.ts";
import type { Verb } from "../verb.ts";

const helpText = `
LSN|TIME is ${pointsText}.

--page finds the commits that wrote, zeroed or restored one page of the volume
without looking at the others, back to where the page's present life began: a
shrink that cut it off ends the search.`;

interface LogOptions extends CommonOptions {
  readonly since?: PastPoint;
  readonly until?: PastPoint;
  readonly at?: PastPoint;
  readonly page?: number;
  readonly limit?: number;
}

/** `pagefold log NAME`: the volume's commits, newest first. */
export const logVerb: Verb = (program, run) => {
  withAt(withStore(program.command("log")))
    .description("the commits of a volume, newest first")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--since <lsn|time>", "from this commit or time on", lsnOrTime)
    .addOption(
      new Option("--until <lsn|time>", "up to this commit or time; --at is the same")
        .argParser(lsnOrTime)
        .conflicts("at"),
    )
    .option("--page <n>", "those that changed this page", positive)
    .option("--limit <n>", "at most so many", positive)
    .addHelpText("after", helpText)
    .action((name: string, options: LogOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal: session.signal });
        const { since, page, limit, at, until = at } = options;
        const which = defined({ since, until, page, limit });
        const entries = [];
        for await (const entry of volume.log({ ...which, signal: session.signal })) {
          const { lsn, pages, pageCount, bytes, hash, restoredFrom } = entry;
          const time = new Date(entry.time).toISOString();
          entries.push({ lsn, time, pages, pageCount, bytes, hash, ...defined({ restoredFrom }) });
        }
        const columns = ["lsn", "time", "pages", "pageCount", "bytes", "hash"] as const;
        const rows = entries.map((entry) => columns.map((column) => entry[column]));
        const none = { text: "", talk: "no commits" };
        return { json: entries, ...(entries.length === 0 ? none : { text: table(columns, rows) }) };
      }),
    );
};
