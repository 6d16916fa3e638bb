import { writeFile } from "node:fs/promises";
import { isPagefoldError, PagefoldError } from "../../../src/base/errors.ts";
import { openObjectStore } from "../../../src/node/index.ts";
import type { ObjectStore } from "../../../src/remote/object-store.ts";
import { unreachableStore } from "../../../vfs/unreachable-store.ts";
import { gather } from "../../inspect/gather.ts";
import { inspectionHtml, pictureScript } from "../../inspect/html.ts";
import { summary } from "../../inspect/summary.ts";
import {
  type CommonOptions,
  count,
  defined,
  type LocalOption,
  nonEmpty,
  positive,
  withLocal,
  withStore,
} from "../options.ts";
import type { Verb } from "../verb.ts";

interface InspectOptions extends CommonOptions, LocalOption {
  readonly sql?: string;
  readonly tables?: true;
  readonly commits: number;
  readonly cells?: number;
  readonly html?: string;
  readonly offline?: true;
}

const helpText = `
Shows a volume as --local DIR has it: which pages are here, fetched ahead, hot
or not pushed; the newest commits and where they lie; how far the remote is.
Nothing is changed, and no page is fetched but for --sql and --tables.

  pagefold inspect shop --local ./replica --html shop.html
  pagefold inspect shop --sql "SELECT * FROM items WHERE id = 7"   what one query fetches
  pagefold inspect shop --json | jq .residency.totals

--sql runs read-only SQL first and tells its faults and requests; with --local
the pages it fetched stay there. --tables reads the inner pages of the trees,
and all of them where rows are too large for a page: in memory and apart from
--local, as they were at the remote commit that is shown.
--html writes one file that needs nothing else, for any browser. --json prints
the document that it is drawn from (docs/inspect.md).`;

/** `pagefold inspect NAME`: residency, log, faults and tables of a volume, as text, as JSON and as a picture. */
export const inspectVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("inspect")), "optional")
    .description("what is here of a volume, and where the rest lies; as text, JSON or a picture")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--sql <sql>", "run this read-only SQL first, and show what it fetched", nonEmpty)
    .option("--tables", "which table or index each page belongs to; reads the inner pages of the trees")
    .option("--commits <n>", "newest commits to show", count, 20)
    .option("--cells <n>", "cells of the map at most (default: 4096)", positive)
    .option("--html <file>", "write the picture to this file", nonEmpty)
    .option("--offline", "tell what is known here without asking the store")
    .addHelpText("after", helpText)
    .action((name: string, options: InspectOptions) =>
      run(options, async (session) => {
        const { signal } = session;
        const script = options.html === undefined ? undefined : await pictureScript();
        const store = await openRemote(options);
        session.onEnd(() => store.close());
        const progress = session.progress("tables", "pages");
        const inspection = await gather({
          name,
          store,
          ...defined({ local: options.local, cells: options.cells, sql: options.sql }),
          commits: options.commits,
          offline: options.offline === true,
          tables: options.tables === true,
          signal,
          onTableProgress: progress.update,
          talk: (line) => session.output.talk(`pagefold: ${line}`),
        });
        progress.end();
        if (options.html === undefined || script === undefined)
          return { json: inspection, text: summary(inspection) };
        await writeHtml(options.html, inspectionHtml(inspection, script));
        return { json: inspection, text: "", talk: `the picture is in ${options.html}` };
      }),
    );
};

/** With a local directory a store that is away is no failure: what is known here is shown. */
async function openRemote({ store, local, endpoint, region }: InspectOptions): Promise<ObjectStore> {
  try {
    return await openObjectStore(store, defined({ endpoint, region, auth: process.env.PAGEFOLD_TOKEN }));
  } catch (error) {
    if (local === undefined || !isPagefoldError(error, "not_found", "unavailable")) throw error;
    return unreachableStore(store, error);
  }
}

async function writeHtml(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const isFull = code === "ENOSPC";
    throw new PagefoldError(
      isFull ? "quota" : "unavailable",
      `${file} cannot be written: ${message}; ${isFull ? "free some space" : "name another file"} and run the command again`,
      { cause },
    );
  }
}
