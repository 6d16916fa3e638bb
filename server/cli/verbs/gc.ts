import { InvalidArgumentError } from "commander";
import { isPagefoldError } from "../../../src/base/errors.ts";
import { parseVolumeId } from "../../../src/format/ids.ts";
import { parseDuration } from "../../../src/history/keep/duration.ts";
import type { CollectOptions, CollectResult, PageStore } from "../../../src/index.ts";
import { bytesText } from "../../bytes-text.ts";
import { type CommonOptions, count, defined, nonEmpty, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";

interface GcOptions extends CommonOptions {
  readonly dryRun?: true;
  readonly grace?: string;
  readonly rate?: number;
}

const helpText = `
Keeps what the volume's retention says (pagefold retention get NAME), what forks
and restores need, and what readers may have opened within the grace period. So
what a new retention drops goes with a run after that time, not with the first.
Running it again finishes one that was cut off. Of a deleted volume, named by its
id, everything goes once the grace period has passed, but what its forks share.`;

/** `pagefold gc NAME`: deletes what the retention does not keep and nobody needs. */
export const gcVerb: Verb = (program, run) => {
  withStore(program.command("gc"))
    .description("delete what a volume's retention does not keep and nobody needs")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--dry-run", "change nothing, tell what would go")
    .option(
      "--grace <duration>",
      "what readers may have open stays for so long: 90m, 24h … (default: 1h)",
      duration,
    )
    .option("--rate <bytes>", "read and write at most so many bytes per second", count)
    .addHelpText("after", helpText)
    .action((name: string, options: GcOptions) =>
      run(options, async (session) => {
        const store = await session.openStore(options);
        const copying = session.progress("copying what is kept", "pages");
        const deleting = session.progress("deleting", "bytes");
        const collected = await collect(store, name, {
          ...defined({ dryRun: options.dryRun, graceMs: options.grace, bytesPerSecond: options.rate }),
          signal: session.signal,
          onProgress: ({ pagesCopied, objects, bytes }) => {
            if (objects === 0) copying.update(pagesCopied);
            else deleting.update(bytes);
          },
        });
        return { json: jsonOf(collected), text: textOf(collected), talk: talkOf(collected) };
      }),
    );
};

/** A volume that cannot be opened any more is named by its id: it may have been deleted. */
async function collect(store: PageStore, name: string, options: CollectOptions): Promise<CollectResult> {
  const id = parseVolumeId(name);
  try {
    const { signal } = options;
    const volume = await store.volume(name, signal === undefined ? {} : { signal });
    return await volume.collect(options);
  } catch (error) {
    if (id === undefined || !isPagefoldError(error, "not_found") || error.details.volume !== id) throw error;
    return store.collectDeleted(id, options).catch((other: unknown) => {
      throw isPagefoldError(other, "invalid") ? error : other;
    });
  }
}

/** A span of time, as it was typed. */
export function duration(text: string): string {
  try {
    parseDuration(text, "it");
    return text;
  } catch (error) {
    if (!isPagefoldError(error, "invalid")) throw error;
    throw new InvalidArgumentError('Give a whole number and a unit, such as "90m", "24h", "7d" or "4w".');
  }
}

function jsonOf({ kept, moreAt, ...result }: CollectResult) {
  return {
    ...result,
    kept: kept.map(({ lsn, time, why }) => ({ lsn, time: timeText(time) ?? null, why })),
    moreAt: timeText(moreAt) ?? null,
  };
}

function textOf(result: CollectResult): string {
  const { volume, floor, kept, dropped, missing, deleted, bytesFreed, bytesWritten } = result;
  const objects = Object.entries(deleted).filter(([, objects]) => objects > 0);
  const list = (lsns: readonly number[]) => (lsns.length === 0 ? undefined : lsns.join(" "));
  return facts({
    volume,
    floor: floor.after === 0 ? "none" : floor.after,
    floorBefore: floor.before === floor.after ? undefined : floor.before,
    kept: kept.length === 0 ? undefined : kept.map(({ lsn, why }) => `${lsn} (${why.join(", ")})`).join(" "),
    dropped: list(dropped),
    missing: list(missing.map(({ lsn }) => lsn)),
    [result.dryRun ? "wouldDelete" : "deleted"]:
      objects.length === 0 ? "nothing" : objects.map(([kind, many]) => `${many} ${kind}`).join(", "),
    bytesFreed,
    bytesWritten: bytesWritten === 0 ? undefined : bytesWritten,
  });
}

function talkOf({ dryRun, bytesFreed, moreAt, skipped }: CollectResult): string {
  const when = timeText(moreAt);
  const lines = [...skipped];
  if (dryRun) {
    lines.push(
      `${bytesText(bytesFreed)} will go${when === undefined ? "" : `, all of it after ${when}`}; nothing was changed`,
    );
  } else if (when !== undefined) {
    lines.push(`what readers may still have open will go after ${when}; run it again then`);
  } else {
    lines.push(bytesFreed === 0 ? "there was nothing to delete" : `${bytesText(bytesFreed)} are gone`);
  }
  return lines.join("\n");
}

function timeText(time: number | undefined): string | undefined {
  return time === undefined ? undefined : new Date(time).toISOString();
}
