/**
 * Where the parts of a segment lie (FORMAT.md, "Segment"). Everything follows from three numbers, length, index length and page count, so
 * that is all that headers store:
 *
 *     segment object     [frames][read index][digest area][footer 64]
 *     inline in a commit [read index][frames][digest area]            so that one GET of the start brings the index
 */
import type { Extent } from "./model.ts";

export const SEGMENT_FOOTER_BYTES = 64;
export const DIGEST_BYTES_PER_PAGE = 16;

export interface SegmentLayout {
  readonly index: Extent;
  readonly digests: Extent;
  readonly frames: Extent;
}

/** Undefined where the parts do not fit. */
export function segmentLayout(
  inline: boolean,
  length: number,
  indexLength: number,
  pages: number,
): SegmentLayout | undefined {
  const digestsLength = DIGEST_BYTES_PER_PAGE * pages;
  const framesLength = length - indexLength - digestsLength - (inline ? 0 : SEGMENT_FOOTER_BYTES);
  if (framesLength < 0) return undefined;
  const frames: Extent = { offset: inline ? indexLength : 0, length: framesLength };
  const index: Extent = { offset: inline ? 0 : framesLength, length: indexLength };
  return { frames, index, digests: { offset: indexLength + framesLength, length: digestsLength } };
}
