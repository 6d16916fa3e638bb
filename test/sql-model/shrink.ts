/** The shortest program that still fails, found by leaving steps out: first long runs of them, then single ones. */

/** @param fails whether a program of these steps fails as the whole one does */
export async function shrink<T>(
  steps: readonly T[],
  fails: (steps: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let shortest = steps;
  for (let length = Math.ceil(steps.length / 2); length >= 1; length = length === 1 ? 0 : length >> 1) {
    for (let from = shortest.length - length; from > -length; from -= length) {
      const start = Math.max(0, from);
      const fewer = [...shortest.slice(0, start), ...shortest.slice(start + length)];
      if (fewer.length < shortest.length && (await fails(fewer))) shortest = fewer;
    }
  }
  return shortest;
}
