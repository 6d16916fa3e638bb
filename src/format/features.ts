/**
 * What every versioned object begins with, read one way everywhere: magic, version, and the feature bits with their extension area
 * (FORMAT.md, "Versions").
 */
import { assert } from "../base/assert.ts";
import { type ErrorDetails, PagefoldError } from "../base/errors.ts";
import { type ByteReader, type ByteWriter, unsupportedError } from "./bytes.ts";
import { FORMAT_VERSION, LIMITS } from "./limits.ts";
import type { FeatureBits } from "./model.ts";

export const NO_FEATURES: FeatureBits = { compatible: 0, incompatible: 0 };

/** Whether an incompatible feature's bit is set. */
export function hasFeature({ incompatible }: FeatureBits, bit: number): boolean {
  return (incompatible & bit) !== 0;
}

const ascii = new TextEncoder();

/** The four magic bytes and the version, u16. */
export function writeMagic(writer: ByteWriter, magic: string): void {
  assert(magic.length === 4, "a magic of four bytes");
  writer.bytes(ascii.encode(magic)).u16(FORMAT_VERSION);
}

/** Throws `corrupt` on another magic, `unsupported_version` on a newer version. */
export function readMagic(reader: ByteReader, magic: string, what: string, details: ErrorDetails): void {
  const found = reader.bytes(4, "its first four bytes");
  for (let i = 0; i < 4; i++) {
    if (found[i] !== magic.charCodeAt(i)) reader.fail(`it does not start with "${magic}"`);
  }
  const version = reader.u16("its version");
  reader.check(version !== 0, "version 0 was never written");
  if (version > FORMAT_VERSION) {
    throw unsupportedError(what, `is of format version ${version}, newer than ${FORMAT_VERSION}`, {
      ...details,
      version,
    });
  }
}

export function writeFeatures(writer: ByteWriter, features: FeatureBits): void {
  writer.u32(features.compatible).u32(features.incompatible);
}

/** @param known the incompatible bits that mean something in objects of this kind: none in most */
export function readFeatures(
  reader: ByteReader,
  what: string,
  details: ErrorDetails,
  known = 0,
): FeatureBits {
  const compatible = reader.u32("compatible features");
  const incompatible = reader.u32("incompatible features");
  // Unsigned: bit 31 is a feature like any other.
  const unknown = (incompatible & ~known) >>> 0;
  if (unknown !== 0) {
    throw unsupportedError(
      what,
      `needs features that this version does not know (bits 0x${unknown.toString(16)})`,
      {
        ...details,
        features: unknown,
      },
    );
  }
  return { compatible, incompatible };
}

export function writeExtension(writer: ByteWriter, length = 0): void {
  writer.varint(length);
}

/** What compatible features put there, those of later versions last; without such features it must be empty. */
export function readExtension(reader: ByteReader, features: FeatureBits): Uint8Array {
  const length = reader.varint("the length of the extension area", LIMITS.extensionBytes);
  reader.check(
    length === 0 || features.compatible !== 0,
    "an extension area without a feature that fills it",
  );
  return reader.bytes(length, "the extension area");
}

/** Throws `invalid` where a value to be written is past a limit of the format: the caller asked for too much. */
export function checkLimit(value: number, limit: number, what: string): void {
  if (value > limit) {
    throw new PagefoldError(
      "invalid",
      `${what} would take ${value} bytes, more than the ${limit} of the format; make it smaller`,
    );
  }
}
