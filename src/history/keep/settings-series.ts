/**
 * The settings of a volume as its series `config/` keeps them: the newest value holds, older ones tell what held when, and what this version does not
 * know is carried on.
 */
import type { TimeMs } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import { decodeConfig, encodeConfig, parseSettings, type SettingsObject } from "../../format/config-codec.ts";
import { configKey, configPrefix } from "../../format/keys.ts";
import { appendToSeries, newestInSeries, type Series } from "../../remote/series.ts";
import type { ReplicaContext } from "../../replicate/context.ts";

type Signal = { readonly signal?: AbortSignal };

/** One value of the settings. */
export interface StoredSettings {
  /** From 1 on; 0 where none were ever set. */
  readonly n: number;
  /** When they were set; undefined where none were. */
  readonly time: TimeMs | undefined;
  readonly settings: SettingsObject;
}

const NONE: StoredSettings = { n: 0, time: undefined, settings: {} };

function seriesOf({ replica }: ReplicaContext): Series {
  const { volume } = replica.manifest;
  return { prefix: configPrefix(volume), key: (n) => configKey(volume, n) };
}

export async function readSettings(context: ReplicaContext, options: Signal = {}): Promise<StoredSettings> {
  const newest = await newestInSeries(context.remote, seriesOf(context), 0, signalOf(options));
  return newest === undefined ? NONE : decode(context, newest.n, newest.bytes);
}

/**
 * Changes some of the settings and leaves the others as they are; undefined takes one away.
 * @throws `conflict` where somebody else changed them at the same time
 */
export async function changeSettings(
  context: ReplicaContext,
  change: SettingsObject,
  options: Signal = {},
): Promise<StoredSettings> {
  const { replica, remote, codecs, runtime } = context;
  const { volume } = replica.manifest;
  const before = await readSettings(context, options);
  // JSON leaves out what is undefined.
  const text = JSON.stringify({ ...before.settings, ...change });
  const after = { n: before.n + 1, time: runtime.now(), settings: parseSettings(text)! };
  const bytes = encodeConfig({ volume, n: after.n, time: after.time, text }, codecs.hash);
  if (await appendToSeries(remote, seriesOf(context), { n: after.n, bytes }, signalOf(options))) return after;
  throw new PagefoldError(
    "conflict",
    `the settings of volume ${volume} were changed by somebody else at the same time; look at them, and set them again if that is still meant`,
    { details: { volume, config: after.n } },
  );
}

function decode({ replica, codecs }: ReplicaContext, n: number, bytes: Uint8Array): StoredSettings {
  const { time, text } = decodeConfig(bytes, codecs.hash, { volume: replica.manifest.volume, n });
  return { n, time, settings: parseSettings(text)! };
}

function signalOf({ signal }: Signal): Signal {
  return signal === undefined ? {} : { signal };
}
