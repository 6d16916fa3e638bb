/**
 * SQL text as tokens, as far as the command must know it: where a statement ends, which words it begins with, which parameters it has. What
 * SQLite itself would refuse passes as `other`; SQLite says so when the statement runs.
 */

export type TokenKind =
  | "blank"
  | "comment"
  | "word"
  | "number"
  | "quoted"
  | "parameter"
  | "semicolon"
  | "open"
  | "close"
  | "other";

export interface Token {
  readonly kind: TokenKind;
  readonly start: number;
  readonly end: number;
  /** For a quote or comment that has no end yet: what has to come, at least, for it to end. */
  readonly waitsFor?: string;
}

/** For each kind that has a simple shape, that shape; the first that fits counts. Every character from U+0080 on belongs to a name, as in SQLite. */
const shapes: readonly (readonly [TokenKind, RegExp])[] = [
  ["blank", /[ \t\n\f\r\uFEFF]+/y],
  ["word", /[A-Za-z_\u0080-\uFFFF][\w$\u0080-\uFFFF]*/y],
  ["number", /\.?[0-9][\w.]*/y],
  // `?`, `?7`, `:name`, `@name`, `$name`, and the longer names of Tcl: `$space::name(index)`,
  // which may break off at the end of the text.
  ["parameter", /\?[0-9]*|[:@#$](?:::|[\w$\u0080-\uFFFF])+(?:\([^\s)]*(?:\)|$)|:$)?/y],
  ["comment", /--[^\n]*/y],
  ["semicolon", /;/y],
  ["open", /\(/y],
  ["close", /\)/y],
];

/** The token that begins at `start`. One whose end is not there yet (a quote or comment that stays open) reaches to the end of the text. */
export function tokenAt(text: string, start: number): Token {
  for (const [kind, shape] of shapes) {
    shape.lastIndex = start;
    if (shape.test(text)) return { kind, start, end: shape.lastIndex };
  }
  if (text.startsWith("/*", start)) return upTo("*/", "comment", text, start, start + 2);
  switch (text[start]) {
    case "'":
    case '"':
    case "`":
      return quotedAt(text, start, text[start] as string);
    case "[":
      return upTo("]", "quoted", text, start, start + 1);
    default:
      return { kind: "other", start, end: start + 1 };
  }
}

function upTo(last: string, kind: TokenKind, text: string, start: number, from: number): Token {
  const found = text.indexOf(last, from);
  if (found < 0) return { kind, start, end: text.length, waitsFor: last.slice(-1) };
  return { kind, start, end: found + last.length };
}

/** Within quotes, the quote itself is written twice. */
function quotedAt(text: string, start: number, quote: string): Token {
  let from = start + 1;
  for (;;) {
    const found = text.indexOf(quote, from);
    if (found < 0) return { kind: "quoted", start, end: text.length, waitsFor: quote };
    if (text[found + 1] !== quote) return { kind: "quoted", start, end: found + 1 };
    from = found + 2;
  }
}
