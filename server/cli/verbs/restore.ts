import { Option } from "commander";
import {
  type CommonOptions,
  type LocalOption,
  lsnOrTimeFrom0,
  nonEmpty,
  type PastPoint,
  pointsText,
  withLocal,
  withStore,
} from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

const helpText = `
The point is ${pointsText}; 0 is the empty volume.

Nothing is copied and nothing is lost: what was committed since stays in the
log, and a restore can be undone by restoring the commit before it. Local
commits that were not pushed are refused.

  pagefold restore shop --at 17
  pagefold restore shop --at -2h`;

interface RestoreOptions extends CommonOptions, LocalOption {
  readonly at: PastPoint;
}

/** `pagefold restore NAME --at LSN|TIME`: an old state becomes the newest again. */
export const restoreVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("restore")), "optional")
    .description("make an old state the newest again, as one more commit that copies nothing")
    .argument("<name>", "tag or volume id", nonEmpty)
    .addOption(
      new Option("--at <lsn|time>", "the state to go back to")
        .argParser(lsnOrTimeFrom0)
        .makeOptionMandatory(),
    )
    .addHelpText("after", helpText)
    .action((name: string, options: RestoreOptions) =>
      run(options, async (session) => {
        const { signal } = session;
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal });
        const { lsn, from, changedPages, restored } = await volume.restore({ at: options.at, signal });
        const counts = { requests: session.requests(), ms: session.ms() };
        const result = { volume: volume.id, lsn, from, changedPages, restored, ...counts };
        const none = {
          talk: `the newest commit, ${lsn}, has the state of LSN ${from} already; none was made`,
        };
        return { json: result, text: facts(result), ...(restored ? {} : none) };
      }),
    );
};
