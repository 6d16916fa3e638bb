import { type CommonOptions, count, defined, nonEmpty, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

interface DetachOptions extends CommonOptions {
  readonly rate?: number;
}

/** `pagefold detach NAME`: copies what a fork shares, so that it needs nothing of its ancestors. */
export const detachVerb: Verb = (program, run) => {
  withStore(program.command("detach"))
    .description("copy what a fork shares with its ancestors, so that it needs nothing of theirs")
    .argument("<name>", "tag or volume id of the fork", nonEmpty)
    .option("--rate <bytes>", "read and write at most so many bytes per second", count)
    .action((name: string, options: DetachOptions) =>
      run(options, async (session) => {
        const { signal } = session;
        const volume = await (await session.openStore(options)).volume(name, { signal });
        const progress = session.progress("detach", "pages");
        const { floor, bytesWritten } = await volume.detach({
          ...defined({ bytesPerSecond: options.rate }),
          signal,
          onProgress: progress.update,
        });
        const result = {
          volume: volume.id,
          floor,
          bytesWritten,
          requests: session.requests(),
          ms: session.ms(),
        };
        const talk = `everything from LSN ${floor} on is its own; a collection after the grace period (pagefold gc NAME) frees its parent of it`;
        return { json: result, text: facts(result), talk };
      }),
    );
};
