/**
 * `volumes/<volume>/config/<~n>`: the settings of a volume, which concern everybody who works on it (FORMAT.md, "Config"). The codec knows nothing of what
 * the settings mean: they are JSON, kept as it was written, so that later versions may have more of them.
 *
 *     "PFCF" with self check (24 bytes) · volume 16 · compatible u32 · incompatible u32 · varint n · varint time ·
 *     varint length, JSON as UTF-8: one object · extension area
 */
import { assert } from "../base/assert.ts";
import type { TimeMs, VolumeId } from "../base/brand.ts";
import { type ByteReader, ByteWriter } from "./bytes.ts";
import {
  checkLimit,
  NO_FEATURES,
  readExtension,
  readFeatures,
  writeExtension,
  writeFeatures,
} from "./features.ts";
import type { Hasher } from "./hash.ts";
import { ID_BYTES, idFromBytes, idToBytes } from "./ids.ts";
import { LIMITS } from "./limits.ts";
import { readSelfChecked, withSelfCheck } from "./self-check.ts";

const MAGIC = "PFCF";

/** The largest value there can be, without extensions of later versions. */
export const CONFIG_BYTES_MOST = LIMITS.configBytes + 128;

export type SettingsObject = { readonly [name: string]: unknown };

export interface Config {
  readonly volume: VolumeId;
  /** From 1 on. */
  readonly n: number;
  /** When it was written. */
  readonly time: TimeMs;
  /** JSON of one object. */
  readonly text: string;
}

/** Throws `invalid` where the settings are larger than the format allows. */
export function encodeConfig(config: Config, hasher: Hasher): Uint8Array {
  assert(config.n >= 1 && parseSettings(config.text) !== undefined, "settings to be written");
  const json = new TextEncoder().encode(config.text);
  checkLimit(json.length, LIMITS.configBytes, "the settings");
  const writer = new ByteWriter(64 + json.length).bytes(idToBytes(config.volume));
  writeFeatures(writer, NO_FEATURES);
  writer.varint(config.n).varint(config.time).varint(json.length).bytes(json);
  writeExtension(writer);
  return withSelfCheck(MAGIC, writer.finish(), hasher);
}

/** Throws `corrupt` or `unsupported_version`. */
export function decodeConfig(
  bytes: Uint8Array,
  hasher: Hasher,
  expect: { readonly volume: VolumeId; readonly n: number },
): Config {
  const what = "a volume's settings";
  const details = { volume: expect.volume, config: expect.n };
  const checked = readSelfChecked(MAGIC, bytes, hasher, what, details);
  const reader: ByteReader = checked.reader;
  reader.check(checked.flags === 0, "unknown flags");
  const volume = idFromBytes<VolumeId>(reader.bytes(ID_BYTES, "the volume"));
  reader.check(volume === expect.volume, `they belong to volume ${volume}`);
  const features = readFeatures(reader, what, details);
  const n = reader.varint("their number");
  reader.check(n === expect.n && n >= 1, `they are number ${n}`);
  const time = reader.varint("the time") as TimeMs;
  const json = reader.bytes(reader.varint("the length of the settings", LIMITS.configBytes), "the settings");
  readExtension(reader, features);
  reader.end();
  const text = textOf(json);
  if (text === undefined || parseSettings(text) === undefined) return reader.fail("they are no JSON object");
  return { volume, n, time, text };
}

/** The settings that some text stands for; undefined where it is not one JSON object. */
export function parseSettings(text: string): SettingsObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? (value as SettingsObject) : undefined;
  } catch {
    // What JSON.parse throws says where, and no more than "no JSON" does: the caller names the object.
    return undefined;
  }
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    // A byte order mark is kept, and then refused as JSON: every value has one encoding.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
