import { isPagefoldError } from "../../../src/base/errors.ts";
import type { Volume } from "../../../src/store/volume.ts";
import { type CommonOptions, nonEmpty, withLocal, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Session } from "../session.ts";
import type { Verb } from "../verb.ts";

interface StatusOptions extends CommonOptions {
  readonly local: string;
  readonly offline?: true;
}

/** Learns the remote's newest commits; a store that cannot be reached is told, not failed for. */
async function reached(session: Session, volume: Volume): Promise<boolean> {
  try {
    await volume.fetch({ signal: session.signal });
    return true;
  } catch (error) {
    if (!isPagefoldError(error, "unavailable")) throw error;
    session.output.talk(`pagefold: ${error.message}; what follows is what is known here`);
    return false;
  }
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
        const asked = !offline && (await reached(session, volume));
        const result = { ...volume.status(), asked };
        return { json: result, text: facts(result) };
      }),
    );
};
