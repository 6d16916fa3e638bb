import { type CommonOptions, nonEmpty, withLocal, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

interface PullOptions extends CommonOptions {
  readonly local: string;
}

/** `pagefold pull NAME`: moves the local replica to the newest remote commit. */
export const pullVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("pull")), "required")
    .description("move the local replica to the newest commit, by learning what changed")
    .argument("<name>", "tag or volume id", nonEmpty)
    .action((name: string, options: PullOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal: session.signal });
        const { from, to, changedPages } = await volume.pull({ signal: session.signal });
        const result = {
          volume: volume.id,
          from,
          to,
          changedPages,
          requests: session.requests(),
          ms: session.ms(),
        };
        return { json: result, text: facts(result) };
      }),
    );
};
