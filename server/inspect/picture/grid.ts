/** How cells are laid out for a width, and where the keyboard goes among them: arithmetic only. */

export interface Grid {
  readonly columns: number;
  readonly rows: number;
  /** Side of a cell, gap included, in pixels of the page. */
  readonly size: number;
}

const SIZE_MAX = 16;
const SIZE_MIN = 3;
/** The map is not to be higher than this, nor than so much of its width, unless its cells would be too small to see. */
const HEIGHT_MAX = 420;

/** The largest cells with which the map is not too high. */
export function gridFor(cells: number, width: number): Grid {
  for (let size = SIZE_MAX; ; size--) {
    const columns = Math.max(1, Math.floor(width / size));
    const rows = Math.max(1, Math.ceil(cells / columns));
    if (rows * size <= HEIGHT_MAX || size <= SIZE_MIN)
      // As wide as it need be: a short map is no row of lost cells.
      return { columns: Math.min(columns, Math.max(1, cells)), rows, size };
  }
}

const PAGE_ROWS = 8;

/** Where a key leads from a cell (-1: none is chosen); undefined for keys that do not move. */
export function keyTarget(key: string, cell: number, cells: number, columns: number): number | undefined {
  const steps: Readonly<Record<string, number>> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -columns,
    ArrowDown: columns,
    PageUp: -columns * PAGE_ROWS,
    PageDown: columns * PAGE_ROWS,
  };
  const step = steps[key];
  if (key === "Home") return 0;
  if (key === "End") return cells - 1;
  if (key === "Escape") return -1;
  if (step === undefined) return undefined;
  if (cell < 0) return 0;
  const target = cell + step;
  if (target >= 0 && target < cells) return target;
  return Math.abs(step) > columns ? Math.min(cells - 1, Math.max(0, target)) : cell;
}
