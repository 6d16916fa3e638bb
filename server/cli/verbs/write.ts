import { isPagefoldError, PagefoldError } from "../../../src/base/errors.ts";
import { usageError } from "../errors.ts";
import { type CommonOptions, count, type LocalOption, nonEmpty, withLocal, withStore } from "../options.ts";
import { facts } from "../output.ts";
import { stdinChunks } from "../stdin.ts";
import type { Verb } from "../verb.ts";

interface WriteOptions extends CommonOptions, LocalOption {
  readonly offset: number;
  readonly push: boolean;
}

/** Without a local directory the commit that lost the race was only in memory: nothing is kept, and nothing needs a reset. */
function throwLost(error: unknown, options: WriteOptions, name: string): never {
  if (options.local !== undefined || !isPagefoldError(error, "diverged")) throw error;
  throw new PagefoldError(
    "conflict",
    `another writer committed to ${JSON.stringify(name)} meanwhile; nothing was written: run it again`,
    { cause: error, details: error.details },
  );
}

/** `pagefold write NAME`: bytes from stdin become one commit, pushed unless told otherwise. */
export const writeVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("write")), "optional")
    .description("write bytes from stdin into a volume as one commit, and push it")
    .argument("<name>", "tag or volume id", nonEmpty)
    .requiredOption("--offset <n>", "where the first byte goes; the volume grows as needed", count)
    .option("--no-push", "keep the commit in --local DIR until pagefold push")
    .action((name: string, options: WriteOptions) =>
      run(options, async (session) => {
        const { signal } = session;
        if (!options.push && options.local === undefined) {
          throw usageError(
            "--no-push keeps the commit in a local directory: name one with --local DIR, or leave --no-push out",
          );
        }
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal });
        // On an old state the commit could not be pushed; a fresh clone is at the newest one anyway.
        const mayBeOld = options.local !== undefined && volume.status().ahead === 0;
        if (options.push && mayBeOld) await volume.pull({ signal });
        let written = 0;
        async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
          for await (const chunk of stdinChunks(signal)) {
            written += chunk.length;
            yield chunk;
          }
        }
        const { changedPages } = await volume.write(options.offset, counted(), { signal });
        if (options.push) await volume.push({ signal }).catch((error) => throwLost(error, options, name));
        const { lsn, ahead } = volume.status();
        const result = {
          volume: volume.id,
          lsn,
          bytes: written,
          changedPages,
          pushed: options.push,
          ahead,
          requests: session.requests(),
          ms: session.ms(),
        };
        return { json: result, text: facts(result) };
      }),
    );
};
