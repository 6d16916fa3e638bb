import { type CommonOptions, nonEmpty, withLocal, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

interface CloneOptions extends CommonOptions {
  readonly local: string;
}

/** `pagefold clone NAME`: the local directory begins to track a volume; no page is fetched. */
export const cloneVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("clone")), "required")
    .description("track a volume in a local directory; pages are fetched when they are read")
    .argument("<name>", "tag or volume id", nonEmpty)
    .action((name: string, options: CloneOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal: session.signal });
        const { lsn } = volume.status();
        const result = { volume: volume.id, lsn, requests: session.requests() };
        return { json: result, text: facts(result) };
      }),
    );
};
