/** Choices from a seed, for generators of text: the same seed gives the same text. */
import { seededRandom } from "../local/xxh64.ts";

type Weighted<T> = readonly (readonly [weight: number, choice: T])[];

export class Dice {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** 0 … n - 1. */
  below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  /** What `text` gives in one of `n` cases, else nothing. */
  sometimes(n: number, text: string | (() => string)): string {
    if (this.below(n) > 0) return "";
    return typeof text === "string" ? text : text();
  }

  /** Between `least` and `most` pieces. */
  several(least: number, most: number, piece: () => string, separator = ", "): string {
    return Array.from({ length: least + this.below(most - least + 1) }, piece).join(separator);
  }

  /** One of the choices, as often as its weight says. */
  weighted<T>(choices: Weighted<T>): T {
    let at = this.#random() * choices.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, choice] of choices) {
      at -= weight;
      if (at < 0) return choice;
    }
    return (choices[choices.length - 1] as Weighted<T>[number])[1];
  }

  /** The text of one of the choices. */
  text(choices: Weighted<string | (() => string)>): string {
    const choice = this.weighted(choices);
    return typeof choice === "string" ? choice : choice();
  }
}
