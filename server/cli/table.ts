/** Rows as a text table: numbers to the right, text to the left, one line per row whatever the cells contain. */

/** One cell: NULL, numbers and text as they are (control characters escaped), blobs as `x'…'` with their size when long. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return "NULL";
  if (value instanceof Uint8Array) {
    const shown = Buffer.from(value.subarray(0, 16)).toString("hex");
    return value.length <= 16 ? `x'${shown}'` : `x'${shown}…' (${value.length} bytes)`;
  }
  // A line break or an escape sequence within a cell must not reach the terminal.
  return String(value).replace(/[\p{Cc}\u2028\u2029]/gu, escapeControl);
}

function escapeControl(char: string): string {
  const known = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[char];
  return known ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

const widthOf = (text: string): number => [...text].length;

/** Rows that are looked at before the widths are fixed. */
const ROWS_MEASURED = 2000;

/**
 * A header line, a rule, and a line per row; lines carry no trailing blanks. The first rows are held back until it is known how wide the columns
 * are; later ones go on with those widths, and a cell that is wider pushes its line.
 */
export class TableWriter {
  readonly #columns: readonly string[];
  readonly #rowsMeasured: number;
  #held: (readonly unknown[])[] = [];
  #shape: { readonly widths: readonly number[]; readonly isNumeric: readonly boolean[] } | undefined;

  constructor(columns: readonly string[], rowsMeasured = ROWS_MEASURED) {
    this.#columns = columns;
    this.#rowsMeasured = rowsMeasured;
  }

  /** Takes more rows; answers the lines that can be written now. */
  rows(rows: readonly (readonly unknown[])[]): string[] {
    if (this.#shape !== undefined) return rows.map((row) => this.#line(this.#cells(row)));
    for (const row of rows) this.#held.push(row);
    return this.#held.length < this.#rowsMeasured ? [] : this.#release();
  }

  /** The lines that are left. */
  end(): string[] {
    return this.#shape === undefined ? this.#release() : [];
  }

  #release(): string[] {
    const header = this.#columns.map(cellText);
    const cells = this.#held.map((row) => this.#cells(row));
    const widths = header.map(widthOf);
    for (const row of cells) {
      for (let i = 0; i < widths.length; i++) widths[i] = Math.max(widths[i] ?? 0, widthOf(row[i] ?? ""));
    }
    const isNumeric = header.map(
      (_, i) =>
        this.#held.length > 0 &&
        this.#held.every((row) => row[i] === null || /^(number|bigint)$/.test(typeof row[i])),
    );
    this.#shape = { widths, isNumeric };
    this.#held = [];
    const rule = widths.map((width) => "-".repeat(width)).join("  ");
    return [this.#line(header), rule, ...cells.map((row) => this.#line(row))];
  }

  #cells(row: readonly unknown[]): string[] {
    return this.#columns.map((_, i) => cellText(row[i]));
  }

  #line(row: readonly string[]): string {
    const { widths, isNumeric } = this.#shape ?? { widths: [], isNumeric: [] };
    return row
      .map((cell, i) => {
        const padding = " ".repeat(Math.max(0, (widths[i] ?? 0) - widthOf(cell)));
        return isNumeric[i] ? padding + cell : cell + padding;
      })
      .join("  ")
      .trimEnd();
  }
}

/** A whole table as text. */
export function table(columns: readonly string[], rows: readonly (readonly unknown[])[]): string {
  if (columns.length === 0) return "";
  const writer = new TableWriter(columns, Number.POSITIVE_INFINITY);
  return [...writer.rows(rows), ...writer.end()].join("\n");
}
