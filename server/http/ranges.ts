/** The `Range` header (RFC 9110, 14): one range of bytes, or the whole. */
import { HttpError } from "./problem.ts";

export interface WantedRange {
  readonly offset: number;
  /** Inclusive of everything up to the object's end where undefined. */
  readonly length: number | undefined;
  /** The last so many bytes, instead of an offset. */
  readonly suffix?: number;
}

const ONE_RANGE = /^bytes=(\d{0,15})-(\d{0,15})$/;

/**
 * What a header asks for; undefined for the whole object: where there is none, or one of other units or that is no range at all, which is ignored.
 * @throws 416 for several ranges
 */
export function parseRange(header: string | null): WantedRange | undefined {
  if (header === null) return undefined;
  const text = header.replaceAll(" ", "");
  if (/^bytes=.*,/.test(text)) {
    throw new HttpError(416, "invalid", "several ranges at once are not answered; ask for one at a time");
  }
  const match = ONE_RANGE.exec(text);
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  if (first === "") return { offset: 0, length: undefined, suffix: Number(last) };
  if (last === "") return { offset: Number(first), length: undefined };
  return Number(last) < Number(first)
    ? undefined
    : { offset: Number(first), length: Number(last) - Number(first) + 1 };
}

/** The bytes of an object of `size` bytes that a range stands for. @throws 416 where there is none of it */
export function placeRange(
  range: WantedRange,
  size: number,
  key: string,
): { offset: number; length: number } {
  const offset = range.suffix === undefined ? range.offset : Math.max(0, size - range.suffix);
  if (offset >= size || range.suffix === 0) {
    throw new HttpError(
      416,
      "invalid",
      `the range begins at or behind the end of ${key}, which has ${size} bytes`,
      {
        headers: { "content-range": `bytes */${size}` },
        details: { key },
      },
    );
  }
  return { offset, length: Math.min(range.length ?? size, size - offset) };
}
