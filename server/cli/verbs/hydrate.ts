import { checksumText } from "../json.ts";
import { type CommonOptions, nonEmpty, withLocal, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

interface HydrateOptions extends CommonOptions {
  readonly local: string;
}

/** `pagefold hydrate NAME`: fetches every page of the snapshot that is not here yet. */
export const hydrateVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("hydrate")), "required")
    .description("fetch every page that is not here yet; run it again to go on after an interruption")
    .argument("<name>", "tag or volume id", nonEmpty)
    .action((name: string, options: HydrateOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal: session.signal });
        const progress = session.progress("hydrate", "pages");
        const { lsn, pages, fetchedPages, bytesFetched, ...hydrated } = await volume.hydrate({
          signal: session.signal,
          onProgress: progress.update,
        });
        const stateChecksum = checksumText(hydrated.stateChecksum);
        const cost = { fetchedPages, bytesFetched, requests: session.requests(), ms: session.ms() };
        const result = { volume: volume.id, lsn, pages, stateChecksum, ...cost };
        return { json: result, text: facts(result) };
      }),
    );
};
