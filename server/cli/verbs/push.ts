import { type CommonOptions, nonEmpty, withLocal, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

interface PushOptions extends CommonOptions {
  readonly local: string;
}

/** `pagefold push NAME`: local commits become one remote commit. */
export const pushVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("push")), "required")
    .description("send the local commits as one remote commit")
    .argument("<name>", "tag or volume id", nonEmpty)
    .action((name: string, options: PushOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal: session.signal });
        const pushed = await volume.push({ signal: session.signal });
        const result = { volume: volume.id, ...pushed, requests: session.requests(), ms: session.ms() };
        const talk = pushed.commits === 0 ? "nothing to push" : undefined;
        return { json: result, text: facts(result), ...(talk === undefined ? {} : { talk }) };
      }),
    );
};
