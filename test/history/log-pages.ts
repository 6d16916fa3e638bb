/** The pages of a generated log: who wrote each last, its digest, the state checksum of all of them, and the segments that commits carry them in. */
import { assert } from "../../src/base/assert.ts";
import type { Lsn, PageIdx } from "../../src/base/brand.ts";
import { StateChecksumSum } from "../../src/format/checksum.ts";
import type { Codecs } from "../../src/format/codecs.ts";
import { type EncodedFrame, encodeFrame } from "../../src/format/frame.ts";
import { DIGEST_BYTES, type PageDigester } from "../../src/format/hash.ts";
import type { Manifest } from "../../src/format/model.ts";
import { type PageSet, PageSetBuilder } from "../../src/format/page-set.ts";
import { buildInlineSegment, type InlineSegment } from "../../src/format/segment-writer.ts";
import type { PageContents } from "./page-contents.ts";

/** A pusher's constant: beyond it, pages go into segments of their own. */
const INLINE_RAW_BYTES = 1_048_576;

export class LogPages {
  /** The state checksum. */
  readonly sum = new StateChecksumSum();
  readonly #codecs: Codecs;
  readonly #contents: PageContents;
  readonly #pageSize: number;
  readonly #framePages: number;
  readonly #digester: PageDigester;
  /** 16 bytes per page as it is now; zeros where nobody wrote it. */
  readonly #digests: Uint8Array;
  readonly #writers: Uint32Array;
  readonly #frames = new Map<string, EncodedFrame>();

  constructor(
    codecs: Codecs,
    { pageSize, digestSeed }: Manifest,
    options: { readonly pageCount: number; readonly frameBytes: number; readonly contents: PageContents },
  ) {
    this.#codecs = codecs;
    this.#contents = options.contents;
    this.#pageSize = pageSize;
    this.#framePages = Math.max(1, Math.floor(options.frameBytes / pageSize));
    this.#digester = codecs.hash.pageDigests(digestSeed);
    this.#digests = new Uint8Array(DIGEST_BYTES * options.pageCount);
    this.#writers = new Uint32Array(options.pageCount);
  }

  /** The commit that wrote a page last; 0 where none did. */
  writerOf(page: number): number {
    return this.#writers[page - 1]!;
  }

  /** The pages that each commit wrote last. */
  byWriter(): Map<number, PageSetBuilder> {
    const byWriter = new Map<number, PageSetBuilder>();
    this.#writers.forEach((writer, i) => {
      if (writer === 0) return;
      const pages = byWriter.get(writer) ?? new PageSetBuilder();
      byWriter.set(writer, pages.add(i + 1));
    });
    return byWriter;
  }

  /** Encodes the pages, and takes their old digests from the state checksum and the new ones to it. */
  change(lsn: Lsn, pages: readonly number[], changed: PageSet): InlineSegment {
    const pageSize = this.#pageSize;
    assert(changed.size === pages.length && !changed.isEmpty, "different pages, one at least");
    assert(
      pages.length * pageSize <= INLINE_RAW_BYTES,
      `a commit of ${pages.length} pages carries its frames itself`,
    );
    const digests = new Uint8Array(DIGEST_BYTES * pages.length);
    const alike = this.#contents.variant?.(lsn);
    const raw = alike === undefined ? new Uint8Array(pageSize * pages.length) : undefined;
    for (let i = 0; i < pages.length; i++) {
      const page = pages[i]! as PageIdx;
      const bytes = this.#contents.bytes(page, lsn);
      raw?.set(bytes, i * pageSize);
      this.#digester.digestInto(page, bytes, digests, DIGEST_BYTES * i);
      const at = DIGEST_BYTES * (page - 1);
      this.sum.subtract(this.#digests, at, 1);
      this.#digests.set(digests.subarray(DIGEST_BYTES * i, DIGEST_BYTES * (i + 1)), at);
      this.#writers[page - 1] = lsn;
    }
    this.sum.add(digests);
    const frames: EncodedFrame[] = [];
    for (let at = 0; at < pages.length; at += this.#framePages) {
      const count = Math.min(this.#framePages, pages.length - at);
      if (raw === undefined) frames.push(this.#alikeFrame(pages[at]!, lsn, alike!, count));
      else frames.push(encodeFrame(this.#codecs, raw.subarray(at * pageSize, (at + count) * pageSize)));
    }
    const shape = { pageSize, framePages: this.#framePages };
    return buildInlineSegment(this.#codecs.hash, shape, [{ pages, batch: { frames, digests } }]);
  }

  #alikeFrame(page: number, lsn: Lsn, variant: number, count: number): EncodedFrame {
    const key = `${variant}/${count}`;
    let frame = this.#frames.get(key);
    if (frame === undefined) {
      const pageSize = this.#pageSize;
      const raw = new Uint8Array(pageSize * count);
      for (let i = 0; i < count; i++) raw.set(this.#contents.bytes(page, lsn), i * pageSize);
      frame = encodeFrame(this.#codecs, raw);
      this.#frames.set(key, frame);
    }
    return frame;
  }
}
