import { learnPoints } from "../learn-points.ts";
import {
  type CommonOptions,
  count,
  defined,
  type LocalOption,
  nonEmpty,
  type PastOptions,
  pastPoint,
  withLocal,
  withPast,
  withStore,
} from "../options.ts";
import type { Verb } from "../verb.ts";

interface ReadOptions extends CommonOptions, LocalOption, PastOptions {
  readonly offset: number;
  readonly length?: number;
}

/** `pagefold read NAME`: a range of the volume's bytes on stdout, fetching only the pages it lies in. */
export const readVerb: Verb = (program, run) => {
  withPast(withLocal(withStore(program.command("read")), "optional"))
    .description("the bytes of a volume on stdout; past the end there are none")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--offset <n>", "first byte", count, 0)
    .option("--length <n>", "how many bytes (default: to the end)", count)
    .action((name: string, options: ReadOptions) =>
      run(options, async (session) => {
        const { output, signal } = session;
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal });
        const { offset, length } = options;
        const past = pastPoint(options);
        if (past !== undefined) await learnPoints(session, volume, [past]);
        const snapshot = past === undefined ? volume.snapshot() : await volume.at(past, { signal });
        session.onEnd(() => snapshot.close());
        const stream = volume.stream({ offset, ...defined({ length }), snapshot, signal });
        const chunks: Uint8Array[] = [];
        for await (const chunk of stream) {
          if (output.json) chunks.push(chunk);
          else await output.bytes(chunk);
          if (output.readerGone) break;
        }
        if (!output.json) return undefined;
        const bytes = Buffer.concat(chunks);
        return {
          json: { volume: volume.id, lsn: snapshot.lsn, offset, length: bytes.length, bytes },
          text: "",
        };
      }),
    );
};
