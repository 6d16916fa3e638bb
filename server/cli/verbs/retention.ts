import { parseDuration } from "../../../src/history/keep/duration.ts";
import type { RetentionPolicy, StoredRetention } from "../../../src/index.ts";
import { usageError } from "../errors.ts";
import { type CommonOptions, defined, nonEmpty, positive, withStore } from "../options.ts";
import { facts } from "../output.ts";
import type { Verb } from "../verb.ts";
import { duration } from "./gc.ts";

interface SetOptions extends CommonOptions {
  readonly everything?: true;
  readonly all?: string;
  readonly hourly?: string;
  readonly daily?: string;
  readonly weekly?: string;
  readonly monthly?: string;
  readonly keep?: readonly number[];
}

const helpText = `
Spans of time: 90m, 24h, 7d, 4w. What is set replaces what was set before.
Nothing is deleted until pagefold gc NAME runs; what it dropped does not come back.

  pagefold retention set shop --all 24h --hourly 7d --daily 30d --keep 1200 1300
  pagefold gc shop --dry-run`;

/** `pagefold retention get|set NAME`: what is kept of a volume's history. */
export const retentionVerb: Verb = (program, run) => {
  const retention = program.command("retention").description("what is kept of a volume's history");
  withStore(retention.command("get"))
    .description("tell what is kept")
    .argument("<name>", "tag or volume id", nonEmpty)
    .action((name: string, options: CommonOptions) =>
      run(options, async (session) => {
        const { signal } = session;
        const volume = await (await session.openStore(options)).volume(name, { signal });
        return resultOf(volume.id, await volume.retention({ signal }));
      }),
    );
  const set = withStore(retention.command("set"))
    .description("keep this from now on, for everybody who collects the volume")
    .argument("<name>", "tag or volume id", nonEmpty)
    .option("--everything", "keep all of it")
    .option("--all <duration>", "every commit that is newer", durationOrForever);
  for (const [period, what] of [
    ["hourly", "hour"],
    ["daily", "day"],
    ["weekly", "week"],
    ["monthly", "month"],
  ]) {
    set.option(`--${period} <duration>`, `the newest commit of every ${what} within that time`, duration);
  }
  set
    .option("--keep <lsn...>", "and these LSNs", (text, before: number[] = []) => [...before, positive(text)])
    .addHelpText("after", helpText)
    .action((name: string, options: SetOptions) =>
      run(options, async (session) => {
        const { signal } = session;
        const policy = policyOf(options);
        const volume = await (await session.openStore(options)).volume(name, { signal });
        return resultOf(volume.id, await volume.setRetention(policy, { signal }));
      }),
    );
};

function policyOf({ everything, all, hourly, daily, weekly, monthly, keep }: SetOptions): RetentionPolicy {
  const spans = defined({ all, hourly, daily, weekly, monthly });
  const isAny = Object.keys(spans).length > 0;
  if (everything === true && isAny)
    throw usageError("--everything leaves nothing to drop: give it, or spans of time");
  if (everything !== true && !isAny && keep === undefined) {
    throw usageError(
      "say what to keep: --all, --hourly, --daily, --weekly, --monthly, --keep, or --everything",
    );
  }
  return { ...spans, ...defined({ keep }) };
}

function durationOrForever(text: string): string {
  return text === "forever" ? text : duration(text);
}

function resultOf(volume: string, { policy, n, time }: StoredRetention) {
  const since = time === undefined ? undefined : new Date(time).toISOString();
  const { keep, ...spans } = policy;
  const isEverything = Object.values(spans).every((span) => span === undefined) || policy.all === "forever";
  const talk = isEverything
    ? "everything is kept: a collection takes only what was never needed"
    : "pagefold gc NAME --dry-run tells what that drops";
  const shown = Object.entries(spans).map(([name, span]) => [
    name,
    typeof span === "number" ? `${parseDuration(span, name)}ms` : span,
  ]);
  const text = facts({ volume, ...Object.fromEntries(shown), keep: keep?.join(" "), since });
  return { json: { volume, policy, n, since: since ?? null }, text, talk };
}
