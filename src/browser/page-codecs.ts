/**
 * Codecs for pages that mostly read: zstd frames are opened by `fzstd`, a few kilobytes, until the first page is to be compressed; only then is the
 * WebAssembly zstd loaded, and does both from then on.
 */
import { Decompress } from "fzstd";
import { loadPart } from "../base/load-part.ts";
import { type Codecs, loadCodecs } from "../format/codecs.ts";
import { type FrameEncoder, inlineFrameEncoder } from "../format/frame-encoder.ts";

export interface PageCodecs {
  readonly codecs: Codecs;
  /** Loads what compresses with its first batch. */
  readonly encoder: FrameEncoder;
}

export async function loadPageCodecs(): Promise<PageCodecs> {
  const reading = await loadCodecs({ nativeZstd: { compress: compressesNothing, decompress } });
  let whole: Promise<FrameEncoder> | undefined;
  let { decompress: open } = reading;
  const loadWhole = async (): Promise<FrameEncoder> => {
    const both = await loadPart(() => loadCodecs());
    open = both.decompress;
    return inlineFrameEncoder(both);
  };
  return {
    codecs: { ...reading, decompress: (...frame) => open(...frame) },
    encoder: {
      encode: async (job) => {
        whole ??= loadWhole().catch((error: unknown) => {
          whole = undefined;
          throw error;
        });
        return (await whole).encode(job);
      },
    },
  };
}

/** Frames are made by the encoder above; whatever asked for one here would get it uncompressed. */
function compressesNothing(bytes: Uint8Array): Uint8Array {
  return bytes;
}

/** In pieces, since that tells how much there is: into a buffer of the right size `fzstd` puts less, or drops what is too much, and says nothing. */
function decompress(bytes: Uint8Array, maxLength: number): Uint8Array {
  const raw = new Uint8Array(maxLength);
  let length = 0;
  const stream = new Decompress((piece) => {
    if (length + piece.length > maxLength) throw new RangeError(`more than ${maxLength} bytes`);
    raw.set(piece, length);
    length += piece.length;
  });
  stream.push(bytes, true);
  return raw.subarray(0, length);
}
