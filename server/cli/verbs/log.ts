import { type CommonOptions, nonEmpty, positive, withStore } from "../options.ts";
import { table } from "../table.ts";
import type { Verb } from "../verb.ts";

interface LogOptions extends CommonOptions {
  readonly limit?: number;
}

/** `pagefold log NAME`: the volume's commits, newest first. */
export const logVerb: Verb = (program, run) => {
  withStore(program.command("log"))
    .description("the commits of a volume, newest first")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--limit <n>", "at most so many", positive)
    .action((name: string, options: LogOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal: session.signal });
        const entries = [];
        for await (const entry of volume.log({ signal: session.signal })) {
          if (entries.length === options.limit) break;
          const { lsn, pages, pageCount, bytes, hash } = entry;
          entries.push({ lsn, time: new Date(entry.time).toISOString(), pages, pageCount, bytes, hash });
        }
        const columns = ["lsn", "time", "pages", "pageCount", "bytes", "hash"];
        const rows = entries.map((entry) => Object.values(entry));
        return { json: entries, text: table(columns, rows) };
      }),
    );
};
