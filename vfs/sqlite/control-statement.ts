/** Recognises `PRAGMA pagefold_…` before SQLite sees it: these may have to wait for the object store, and answer rows. */

/** `PRAGMA pagefold_x`, `PRAGMA main.pagefold_x = 'value'` or `PRAGMA pagefold_x(value)`, and what ends the statement. */
const CONTROL =
  /^\s*PRAGMA\s+(?:(\w+|"[^"]+"|\[[^\]]+\]|`[^`]+`)\s*\.\s*)?(pagefold_\w+)\s*(?:=\s*('(?:[^']|'')*'|"[^"]*"|[^;'"\s()]+)|\(\s*('(?:[^']|'')*'|"[^"]*"|[^;'"\s()]+)\s*\))?\s*(?:;|$)/i;

export interface ControlStatement {
  /** The name under which the volume that it is about is attached; undefined for the main one. */
  readonly schema: string | undefined;
  /** Lower case. */
  readonly name: string;
  readonly value: string | undefined;
  /** How much of the SQL it takes. */
  readonly length: number;
}

/** The statement at the start of `sql`, if it is one of these. */
export function controlStatement(sql: string): ControlStatement | undefined {
  const match = CONTROL.exec(sql);
  if (match === null) return undefined;
  const [text, schema, name = "", equals, parentheses] = match;
  return {
    schema: schema?.replace(/^["[`]|["\]`]$/g, ""),
    name: name.toLowerCase(),
    value: unquoted(equals ?? parentheses),
    length: text.length,
  };
}

function unquoted(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (text.startsWith("'")) return text.slice(1, -1).replaceAll("''", "'");
  return text.startsWith('"') ? text.slice(1, -1) : text;
}
