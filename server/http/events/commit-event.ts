/** One new commit as server-sent events tell it (docs/protocol.md, "Events"), made once for all who hear of it. */
import type { Lsn, VolumeId } from "../../../src/base/brand.ts";
import type { DecodedCommit } from "../../../src/format/commit-codec.ts";
import { touchedPageCount } from "../../../src/format/commit-pages.ts";

/** Larger commit objects do not ride along. */
export const INLINE_OBJECT_BYTES = 65_536;

const utf8 = new TextEncoder();

/** A comment line that shows that the stream lives. */
export const BEAT: Uint8Array = utf8.encode(": beat\n\n");

export class CommitEvent {
  readonly volume: VolumeId;
  readonly lsn: Lsn;
  /** When it was committed, by the clock of whoever did. */
  readonly time: number;
  readonly #text: string;
  #alone: Uint8Array | undefined;
  #shared: Uint8Array | undefined;

  /** @param object the commit object, where it rides along */
  constructor({ header }: DecodedCommit, volume: VolumeId, object: Uint8Array | undefined) {
    this.volume = volume;
    this.lsn = header.lsn;
    this.time = header.time;
    const data = {
      volume,
      lsn: header.lsn,
      time: header.time,
      pages: touchedPageCount(header),
      ...(object === undefined ? {} : { object: base64(object) }),
    };
    this.#text = `event: commit\ndata: ${JSON.stringify(data)}\n\n`;
  }

  get cost(): number {
    return 2 * this.#text.length + 512;
  }

  /** For a stream of this volume alone: the same bytes for all of them. */
  alone(): Uint8Array {
    this.#alone ??= utf8.encode(`id: ${this.volume}@${this.lsn}\n${this.#text}`);
    return this.#alone;
  }

  /** What follows the id, for streams of several volumes. */
  shared(): Uint8Array {
    this.#shared ??= utf8.encode(this.#text);
    return this.#shared;
  }
}

/** The line that names the newest LSN of every volume of a stream. */
export function idLine(places: ReadonlyMap<string, number>): Uint8Array {
  return utf8.encode(`id: ${[...places].map(([volume, lsn]) => `${volume}@${lsn}`).join(",")}\n`);
}

export function goneEvent(volume: string): Uint8Array {
  return utf8.encode(`event: gone\ndata: ${JSON.stringify({ volume })}\n\n`);
}

/** `V@LSN`, or `V` alone; undefined where it is neither. */
export function parsePlace(
  text: string,
): { readonly name: string; readonly lsn: number | undefined } | undefined {
  const match = /^([^@,]{1,200})(?:@(\d{1,15}))?$/.exec(text);
  if (match === null) return undefined;
  return { name: match[1]!, lsn: match[2] === undefined ? undefined : Number(match[2]) };
}

/** So many bytes at a time: more arguments than that no call takes. */
const CHUNK = 0x2000;

function base64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  }
  return btoa(binary);
}
