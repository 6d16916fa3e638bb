import { exportFile } from "../../../src/node/index.ts";
import { checksumText } from "../json.ts";
import { learnPoints } from "../learn-points.ts";
import {
  type CommonOptions,
  defined,
  type LocalOption,
  nonEmpty,
  type PastOptions,
  pastPoint,
  withLocal,
  withPast,
  withStore,
} from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

type ExportOptions = CommonOptions & LocalOption & PastOptions;

/** `pagefold export NAME FILE`: writes a volume's bytes to a file and checks them against the state checksum. */
export const exportVerb: Verb = (program, run) => {
  withPast(withLocal(withStore(program.command("export")), "optional"))
    .description("write a volume to a file; the file appears only when it is complete and checked")
    .argument("<name>", "tag or volume id", nonEmpty)
    .argument("<file>", "the file to write", nonEmpty)
    .action((name: string, file: string, options: ExportOptions) =>
      run(options, async (session) => {
        const { signal } = session;
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal });
        const past = pastPoint(options);
        if (past !== undefined) await learnPoints(session, volume, [past]);
        const progress = session.progress("export", "bytes");
        const { bytes, lsn, stateChecksum } = await exportFile(volume, file, {
          ...defined({ lsn: past instanceof Date ? await volume.lsnAt(past, { signal }) : past }),
          signal,
          onProgress: progress.update,
        });
        const result = { bytes, lsn, stateChecksum: checksumText(stateChecksum), ms: session.ms() };
        return { json: result, text: facts(result) };
      }),
    );
};
