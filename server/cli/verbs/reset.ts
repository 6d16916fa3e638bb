import { createInterface } from "node:readline/promises";
import { PagefoldError } from "../../../src/base/errors.ts";
import { usageError } from "../errors.ts";
import { type CommonOptions, nonEmpty, withLocal, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

interface ResetOptions extends CommonOptions {
  readonly local: string;
  readonly yes?: true;
}

async function confirmed(question: string, signal: AbortSignal): Promise<boolean> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await prompt.question(`${question} [y/N] `, { signal })).trim());
  } finally {
    prompt.close();
  }
}

/** `pagefold reset NAME`: drops the local commits that were not pushed, once somebody has agreed. */
export const resetVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("reset")), "required")
    .description("drop the local commits that were not pushed")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--yes", "do not ask")
    .action((name: string, options: ResetOptions) =>
      run(options, async (session) => {
        const { signal } = session;
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal });
        const { ahead } = volume.status();
        if (options.yes !== true && ahead > 0) {
          if (process.stdin.isTTY !== true) {
            throw usageError(
              `reset drops ${ahead} local commit${ahead === 1 ? "" : "s"} and nobody is there to be asked: run it with --yes if that is meant`,
            );
          }
          const question = `Drop ${ahead} local commit${ahead === 1 ? "" : "s"} of ${name} that were not pushed?`;
          if (!(await confirmed(question, signal))) throw new PagefoldError("aborted", "nothing was dropped");
        }
        const { dropped } = await volume.reset({ signal });
        const result = { volume: volume.id, dropped };
        return { json: result, text: facts(result), ...(dropped === 0 ? { talk: "nothing to drop" } : {}) };
      }),
    );
};
