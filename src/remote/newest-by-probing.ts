/** The end of a sequence of objects that are numbered without gaps, where a store cannot list them. */

/**
 * The largest number that is there: doubling finds a bound, bisection the end. The first two are asked for at once, since most sequences that are
 * looked at have not grown.
 * @param known a number that is there, or 0
 */
export async function newestByProbing(known: number, has: (n: number) => Promise<boolean>): Promise<number> {
  const [next, second] = await Promise.all([has(known + 1), has(known + 2)]);
  if (!next) return known;
  if (!second) return known + 1;
  let present = known + 2;
  let step = 2;
  while (await has(present + step)) {
    present += step;
    step *= 2;
  }
  let absent = present + step;
  while (absent - present > 1) {
    const middle = present + Math.floor((absent - present) / 2);
    if (await has(middle)) present = middle;
    else absent = middle;
  }
  return present;
}
