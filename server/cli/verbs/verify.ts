import { checksumText } from "../json.ts";
import { type CommonOptions, defined, nonEmpty, withLsn, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

interface VerifyOptions extends CommonOptions {
  readonly lsn?: number;
}

/** `pagefold verify NAME`: fetches and checks everything that a commit reaches: frames, hashes, digests, the state checksum. */
export const verifyVerb: Verb = (program, run) => {
  withLsn(withStore(program.command("verify")))
    .description("check every frame, hash, digest and the state checksum in the store")
    .argument("<name>", "tag or volume id", nonEmpty)
    .action((name: string, options: VerifyOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal: session.signal });
        const progress = session.progress("verify", "pages");
        const { lsn, commits, pages, bytesFetched, ...checked } = await volume.verify({
          ...defined({ lsn: options.lsn }),
          signal: session.signal,
          onProgress: progress.update,
        });
        const stateChecksum = checksumText(checked.stateChecksum);
        const cost = { bytesFetched, requests: session.requests(), ms: session.ms() };
        const result = { volume: volume.id, lsn, commits, pages, stateChecksum, ...cost };
        return { json: result, text: facts(result), talk: "everything is as it was written" };
      }),
    );
};
