/** A bit for each page of a stretch: many sets with short runs are put together faster by marking their pages than by sorting their runs. */

export class PageBits {
  readonly #first: number;
  readonly #words: Uint32Array;

  /** Of the pages first … last. */
  constructor(first: number, last: number) {
    this.#first = first;
    this.#words = new Uint32Array(Math.floor((last - first) / 32) + 1);
  }

  /** Marks a run; answers whether any of its pages was marked before. */
  mark(first: number, last: number): boolean {
    const words = this.#words;
    const begin = first - this.#first;
    const end = last - this.#first;
    const firstWord = Math.floor(begin / 32);
    const lastWord = Math.floor(end / 32);
    let before = 0;
    for (let i = firstWord; i <= lastWord; i++) {
      let mask = 0xffff_ffff;
      if (i === firstWord) mask &= 0xffff_ffff << (begin % 32);
      if (i === lastWord) mask &= 0xffff_ffff >>> (31 - (end % 32));
      before |= words[i]! & mask;
      words[i]! |= mask;
    }
    return before !== 0;
  }

  /** Hands the marked pages over as runs, ascending; a run may come in parts, one after the other. */
  forEachRun(take: (first: number, last: number) => void): void {
    const words = this.#words;
    for (let i = 0; i < words.length; i++) {
      let rest = words[i]!;
      for (let page = this.#first + 32 * i; rest !== 0; ) {
        const zeros = 31 - Math.clz32(rest & -rest);
        rest >>>= zeros;
        page += zeros;
        // The lowest bit that is not set tells how many are.
        const ones = rest === 0xffff_ffff ? 32 : 31 - Math.clz32(~rest & (rest + 1));
        take(page, page + ones - 1);
        rest = ones === 32 ? 0 : rest >>> ones;
        page += ones;
      }
    }
  }
}
