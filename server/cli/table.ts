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

/** A header line, a rule, and a line per row; lines carry no trailing blanks. */
export function table(columns: readonly string[], rows: readonly (readonly unknown[])[]): string {
  if (columns.length === 0) return "";
  const cells = rows.map((row) => columns.map((_, i) => cellText(row[i])));
  const widths = columns.map((column) => widthOf(cellText(column)));
  for (const row of cells) {
    for (let i = 0; i < widths.length; i++) widths[i] = Math.max(widths[i] ?? 0, widthOf(row[i] ?? ""));
  }
  const isNumeric = columns.map((_, i) =>
    rows.every((row) => row[i] === null || /^(number|bigint)$/.test(typeof row[i])),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => {
        const padding = " ".repeat(Math.max(0, (widths[i] ?? 0) - widthOf(cell)));
        return isNumeric[i] && rows.length > 0 ? padding + cell : cell + padding;
      })
      .join("  ")
      .trimEnd();
  return [
    line(columns.map(cellText)),
    widths.map((width) => "-".repeat(width)).join("  "),
    ...cells.map(line),
  ].join("\n");
}
