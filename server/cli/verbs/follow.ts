import { throwIfAborted } from "../../../src/base/errors.ts";
import { exportFile } from "../../../src/node/index.ts";
import type { Volume } from "../../../src/store/volume.ts";
import { type CommonOptions, nonEmpty, positive, withLocal, withStore } from "../options.ts";
import type { Session } from "../session.ts";
import type { Verb } from "../verb.ts";

interface FollowOptions extends CommonOptions {
  readonly local?: string;
  readonly poll?: number;
  readonly hydrate?: true;
  readonly file?: string;
  readonly until?: number;
}

/** `pagefold follow NAME`: moves with the remote log as it grows, and says so move by move. */
export const followVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("follow")), "optional")
    .description("move with the log as it grows, a line per move, until interrupted")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--file <path>", "keep this file equal to the newest state, replaced as a whole by every move")
    .option("--hydrate", "fetch every page of each state")
    .option("--poll <ms>", "how often to ask a store that cannot tell by itself (default: 5000)", positive)
    .option("--until <lsn>", "end once this commit is reached", positive)
    .action((name: string, options: FollowOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const { signal } = session;
        const volume = await store.volume(name, { signal });
        const { lsn } = volume.status();
        await arrived(session, volume, options, { from: lsn, to: lsn, changedPages: 0 });
        if (!reached(volume, options)) {
          const moves = volume.follow({
            signal,
            ...(options.poll === undefined ? {} : { pollMs: options.poll }),
            onState: (state, reason) => {
              if (state === "waiting")
                session.output.talk(`pagefold: waiting for the store${reasonText(reason)}`);
            },
          });
          for await (const move of moves) {
            await arrived(session, volume, options, move);
            if (reached(volume, options) || session.output.readerGone) break;
          }
        }
        // To be interrupted is the usual end of it, and is told like any other interruption.
        throwIfAborted(signal, `following ${name}`);
        return undefined;
      }),
    );
};

function reached(volume: Volume, { until }: FollowOptions): boolean {
  return until !== undefined && volume.status().lsn >= until;
}

/** Makes the file and the local pages what the new state is, then says that it is here. */
async function arrived(
  { output, signal }: Session,
  volume: Volume,
  { hydrate, file }: FollowOptions,
  { from, to, changedPages }: { readonly from: number; readonly to: number; readonly changedPages: number },
): Promise<void> {
  if (hydrate === true) await volume.hydrate({ signal });
  if (file !== undefined) await exportFile(volume, file, { signal });
  const { byteLength } = volume.status();
  const move = { volume: volume.id, from, lsn: to, changedPages, byteLength };
  await output.text(
    output.json
      ? JSON.stringify(move)
      : `LSN ${to}${from === to ? "" : `, ${changedPages} pages changed since LSN ${from}`}`,
  );
}

function reasonText(reason: unknown): string {
  return reason instanceof Error ? `: ${reason.message}` : "";
}
