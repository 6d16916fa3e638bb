import {
  type CommonOptions,
  defined,
  type LocalOption,
  nonEmpty,
  positive,
  withLocal,
  withStore,
} from "../options.ts";
import { table } from "../table.ts";
import type { Verb } from "../verb.ts";

interface LogOptions extends CommonOptions, LocalOption {
  readonly limit?: number;
}

/** `pagefold log NAME`: the volume's commits, newest first. */
export const logVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("log")), "optional")
    .description("the commits of a volume, newest first")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--limit <n>", "at most so many", positive)
    .action((name: string, options: LogOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal: session.signal });
        const entries = [];
        for await (const entry of volume.log({
          ...defined({ limit: options.limit }),
          signal: session.signal,
        })) {
          const { lsn, pages, pageCount, bytes, hash } = entry;
          entries.push({ lsn, time: new Date(entry.time).toISOString(), pages, pageCount, bytes, hash });
        }
        const columns = ["lsn", "time", "pages", "pageCount", "bytes", "hash"];
        const rows = entries.map((entry) => Object.values(entry));
        return { json: entries, text: table(columns, rows) };
      }),
    );
};
