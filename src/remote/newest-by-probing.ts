/**
 * The end of a sequence of objects that are numbered from 1 on without gaps, found by asking for numbers. Which to ask for next is decided here, apart
 * from how they are asked for, so that a plan (inside SQLite) and a verb search alike.
 */

export interface Numbered<T> {
  readonly n: number;
  readonly value: T;
}

/** Yields numbers to be asked for at once, is handed what is there of them, in their order; ends with the newest, if any was there. */
export type NewestSearch<T> = Generator<
  readonly number[],
  Numbered<T> | undefined,
  readonly (T | undefined)[]
>;

/**
 * The newest after `known`: a few of the next at first, since most sequences that are looked at have hardly grown; then steps that double find a
 * bound, and bisection the end.
 * @param known a number that is there, or 0
 * @param widths how many of the next to ask for in each of the first round trips: one more number may be a round trip less, or a request in vain
 */
export function* searchNewest<T>(known: number, widths: readonly number[]): NewestSearch<T> {
  let present = known;
  let newest: Numbered<T> | undefined;
  for (const width of widths) {
    const numbers = Array.from({ length: width }, (_, i) => present + 1 + i);
    const answers = yield numbers;
    for (const [i, value] of answers.entries()) {
      if (value === undefined) return newest;
      present = numbers[i]!;
      newest = { n: present, value };
    }
  }
  for (let absent = Number.POSITIVE_INFINITY, step = 2; absent - present > 1; step *= 2) {
    const n = present + Math.min(step, Math.floor((absent - present) / 2));
    const [value] = yield [n];
    if (value === undefined) absent = n;
    else {
      present = n;
      newest = { n, value };
    }
  }
  return newest;
}

/** Searches by requests. */
export async function probeNewest<T>(
  known: number,
  widths: readonly number[],
  ask: (n: number) => Promise<T | undefined>,
): Promise<Numbered<T> | undefined> {
  const search = searchNewest<T>(known, widths);
  let step = search.next();
  while (!step.done) step = search.next(await Promise.all(step.value.map(ask)));
  return step.value;
}

/** The largest number that is there, where it is enough to know that: the first two are asked for at once. */
export async function newestByProbing(known: number, has: (n: number) => Promise<boolean>): Promise<number> {
  const newest = await probeNewest(known, [2], async (n) => (await has(n)) || undefined);
  return newest?.n ?? known;
}
