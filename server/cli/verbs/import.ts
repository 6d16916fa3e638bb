import { importFile } from "../../../src/node/index.ts";
import { type CommonOptions, defined, nonEmpty, pageSize, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

interface ImportOptions extends CommonOptions {
  readonly tag: string;
  readonly pageSize?: number;
}

/** `pagefold import FILE`: a file becomes a commit of the tag's volume; only pages that changed are stored. */
export const importVerb: Verb = (program, run) => {
  withStore(program.command("import"))
    .description("put a file (any file; of a database, its pages) into the store under a tag, as one commit")
    .argument("<file>", "the file", nonEmpty)
    .requiredOption("--tag <name>", "name of the volume; it is created when there is none", nonEmpty)
    .option("--page-size <n>", "bytes per page (default: the database's own, else 4096)", pageSize)
    .action((file: string, options: ImportOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options, { create: true });
        const progress = session.progress("import", "bytes");
        const imported = await importFile(store, file, {
          tag: options.tag,
          ...defined({ pageSize: options.pageSize }),
          signal: session.signal,
          onProgress: progress.update,
        });
        const { volume, tag, lsn, pageCount, pageSize, bytes, storedBytes, changedPages } = imported;
        const stored = { storedBytes, changedPages, requests: session.requests(), ms: session.ms() };
        const result = { volume, tag, lsn, pageCount, pageSize, bytes, ...stored };
        return { json: result, text: facts(result) };
      }),
    );
};
