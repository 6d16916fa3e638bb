/** The colours of pictures: named by custom properties of the style sheet, which has them for light and dark, and mixed here for canvases. */
import type { PageState } from "../../../src/inspect/residency.ts";

export type Rgb = readonly [red: number, green: number, blue: number];

/** Tables that have a colour of their own; the others share the last one. */
export const TABLE_COLOURS = 10;

export interface Palette {
  readonly states: Readonly<Record<PageState, Rgb>>;
  /** One more than `TABLE_COLOURS`: that of all other tables. */
  readonly tables: readonly Rgb[];
  readonly surface: Rgb;
  readonly mark: Rgb;
}

export function readPalette(element: Element): Palette {
  const style = getComputedStyle(element);
  const colour = (name: string): Rgb => parseHex(style.getPropertyValue(`--${name}`));
  const states: readonly PageState[] = ["absent", "prefetched", "resident", "hot", "dirty", "unwritten"];
  return {
    states: Object.fromEntries(states.map((state) => [state, colour(state)])) as Record<PageState, Rgb>,
    tables: Array.from({ length: TABLE_COLOURS + 1 }, (_, i) => colour(`table-${i}`)),
    surface: colour("surface"),
    mark: colour("mark"),
  };
}

/** The custom property of a table's colour, by its place among all tables. */
export function tableColourName(index: number): string {
  return `--table-${Math.min(index, TABLE_COLOURS)}`;
}

/** From `a` (0) to `b` (1). */
export function mix(a: Rgb, b: Rgb, share: number): Rgb {
  const at = (i: 0 | 1 | 2): number => Math.round(a[i] + (b[i] - a[i]) * share);
  return [at(0), at(1), at(2)];
}

export function cssColour([red, green, blue]: Rgb): string {
  return `rgb(${red} ${green} ${blue})`;
}

/** "#rrggbb"; black for anything else, which only a broken style sheet has. */
function parseHex(text: string): Rgb {
  const value = /^\s*#([0-9a-f]{6})\s*$/i.exec(text)?.[1] ?? "000000";
  return [0, 2, 4].map((at) => Number.parseInt(value.slice(at, at + 2), 16)) as unknown as Rgb;
}
