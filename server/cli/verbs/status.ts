import { isPagefoldError } from "../../../src/base/errors.ts";
import { type CommonOptions, nonEmpty, withLocal, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

interface StatusOptions extends CommonOptions {
  readonly local: string;
  readonly offline?: true;
}

/** `pagefold status NAME`: where the local replica stands against the remote, and how much of it is here. */
export const statusVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("status")), "required")
    .description("clean, ahead, behind or diverged; how many pages are here")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--offline", "tell what is known here without asking the store")
    .action((name: string, options: StatusOptions) =>
      run(options, async (session) => {
        const { signal } = session;
        const store = await session.openStore(options);
        const offline = options.offline === true;
        const volume = await store.volume(name, { signal, offline });
        let asked = !offline;
        const status = await volume.status({ fetch: asked, signal }).catch((error: unknown) => {
          if (!asked || !isPagefoldError(error, "unavailable")) throw error;
          asked = false;
          session.output.talk(
            `pagefold: the store cannot be reached (${error.message}); this is what is known here`,
          );
          return volume.status({ fetch: false, signal });
        });
        const result = { ...status, asked };
        return { json: result, text: facts(result) };
      }),
    );
};
