import { InvalidArgumentError } from "commander";
import { classifierOf } from "../../../vfs/sqlite/page-class.ts";
import { type CommonOptions, type LocalOption, nonEmpty, withLocal, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

interface CompactOptions extends CommonOptions, LocalOption {
  readonly all?: true;
  readonly rate?: number;
}

/** `pagefold compact NAME`: many small segments of the newest remote state become few large ones. */
export const compactVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("compact")), "optional")
    .description(
      "put a volume's stored pages in order; others read and write meanwhile, and a cut-off run is finished by the next",
    )
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--all", "rewrite everything, not only what is worth it")
    .option("--rate <bytes>", "read and write at most so many bytes per second", rateOf)
    .action((name: string, options: CompactOptions) =>
      run(options, async (session) => {
        const { signal } = session;
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal });
        // What was cloned earlier may be behind by now.
        if (volume.status().ahead === 0) await volume.pull({ signal });
        const progress = session.progress("compact", "pages");
        const { checkpoint, writeAmplification, ...figures } = await volume.compact({
          all: options.all,
          bytesPerSecond: options.rate,
          classify: await classifierOf(volume, { signal }),
          signal,
          onProgress: progress.update,
        });
        const amplification =
          writeAmplification === undefined
            ? {}
            : { writeAmplification: Number(writeAmplification.toFixed(2)) };
        const anchor = checkpoint === undefined ? {} : { checkpoint: checkpoint.lsn };
        const cost = { requests: session.requests(), ms: session.ms() };
        const result = { volume: volume.id, ...figures, ...amplification, ...anchor, ...cost };
        const talk =
          figures.steps === 0 ? "everything is in order already; --all rewrites it all the same" : undefined;
        return { json: result, text: facts(result), ...(talk === undefined ? {} : { talk }) };
      }),
    );
};

function rateOf(text: string): number {
  const rate = Number(text);
  if (Number.isSafeInteger(rate) && rate > 0) return rate;
  throw new InvalidArgumentError(`"${text}" is no number of bytes per second`);
}
