/**
 * SQL that arrives in pieces (a line typed, a part of a file) as the statements it consists of, each with what must be known before it runs: its
 * parameters, and whether it may write. The rule for its end is that of `sqlite3_complete()`.
 */
import { type Token, tokenAt } from "./tokens.ts";

/**
 * `query`: reads, and its rows can be had one by one; `write`: may change the database; `begin`: begins a transaction, which may write later;
 * `other`: neither changes the database nor prepares to.
 */
export type Effect = "query" | "write" | "begin" | "other";

export interface SqlStatement {
  /** With its semicolon, without blanks and comments around it. */
  readonly sql: string;
  /** The line on which it begins, from 1 on. */
  readonly line: number;
  readonly effect: Effect;
  /** Its first word, in capitals. */
  readonly verb: string;
  /** The parameters in SQLite's order: `:a`, `?5`, or null for a plain `?` (and for a number that is left out). */
  readonly parameters: readonly (string | null)[];
}

export class StatementSplitter {
  #text = "";
  /** Where the next token begins. */
  #at = 0;
  /** Up to where line breaks were counted, and the line there. */
  #countedTo = 0;
  #line = 1;
  #draft: Draft | undefined;
  /** Text without this changes nothing: a quote or comment is open. Not to look at it keeps a long one from costing the square of its length. */
  #waitsFor: string | undefined;

  /** Takes more text; answers the statements that it completes. */
  push(text: string): SqlStatement[] {
    this.#text += text;
    return this.#waitsFor !== undefined && !text.includes(this.#waitsFor) ? [] : this.#scan(false);
  }

  /** There is no more text: what is left is the last statement, semicolon or not. */
  end(): SqlStatement[] {
    return this.#scan(true);
  }

  /** Whether a statement has begun and not ended. */
  get isMidway(): boolean {
    return this.#draft !== undefined || this.#opensQuote();
  }

  #scan(isLast: boolean): SqlStatement[] {
    const statements: SqlStatement[] = [];
    this.#waitsFor = undefined;
    while (this.#at < this.#text.length) {
      const token = tokenAt(this.#text, this.#at);
      // It may go on in the next piece.
      if (token.end === this.#text.length && !isLast && token.kind !== "semicolon") {
        this.#waitsFor = token.waitsFor;
        break;
      }
      this.#at = token.end;
      const statement = this.#take(token);
      if (statement !== undefined) statements.push(statement);
    }
    if (isLast && this.#draft !== undefined) statements.push(this.#finish(this.#draft));
    this.#forgetDone();
    return statements;
  }

  #take(token: Token): SqlStatement | undefined {
    if (token.kind === "blank" || token.kind === "comment") return undefined;
    if (this.#draft === undefined) {
      if (token.kind === "semicolon") return undefined;
      this.#draft = new Draft(token.start, this.#lineAt(token.start));
    }
    const draft = this.#draft;
    return draft.add(token, this.#text.slice(token.start, token.end)) ? this.#finish(draft) : undefined;
  }

  #finish(draft: Draft): SqlStatement {
    this.#draft = undefined;
    return draft.statement(this.#text.slice(draft.start, draft.end));
  }

  #lineAt(offset: number): number {
    for (;;) {
      const lineBreak = this.#text.indexOf("\n", this.#countedTo);
      if (lineBreak < 0 || lineBreak >= offset) return this.#line;
      this.#countedTo = lineBreak + 1;
      this.#line++;
    }
  }

  /** Text that no statement needs any more goes, so that a long script takes no more memory than its longest statement. */
  #forgetDone(): void {
    const done = this.#draft?.start ?? this.#at;
    this.#lineAt(done);
    this.#text = this.#text.slice(done);
    this.#at -= done;
    this.#countedTo = 0;
    this.#draft?.move(done);
  }

  /** A quote or a comment that has begun is waited for, though it makes no draft yet. */
  #opensQuote(): boolean {
    if (this.#at >= this.#text.length) return false;
    const { kind } = tokenAt(this.#text, this.#at);
    return kind !== "blank" && !(kind === "comment" && this.#text.startsWith("--", this.#at));
  }
}

/** How many words at the beginning of a statement can say what it does: EXPLAIN QUERY PLAN CREATE TEMP TRIGGER. */
const HEAD_WORDS = 6;
/** SQLITE_MAX_VARIABLE_NUMBER; a greater number is refused by SQLite. */
const PARAMETER_NUMBER_MAX = 32_766;

/** A statement whose end has not come yet. */
class Draft {
  start: number;
  end: number;
  readonly #line: number;
  readonly #head: string[] = [];
  readonly #parameters: (string | null)[] = [];
  /** What a statement that begins with WITH does in the end. */
  #mainVerb: string | undefined;
  #depth = 0;
  #hasValue = false;
  /** The last two tokens: a trigger ends with `; END ;`. */
  #last = "";
  #beforeLast = "";

  constructor(start: number, line: number) {
    this.start = start;
    this.end = start;
    this.#line = line;
  }

  /** Takes the next token that is neither blank nor comment; answers whether the statement ends with it. */
  add({ kind, end }: Token, text: string): boolean {
    this.end = end;
    const word = kind === "word" ? text.toUpperCase() : kind;
    if (kind === "word" && this.#depth === 0) this.#addWord(word);
    if (kind === "parameter") this.#addParameter(text);
    if (kind === "open") this.#depth++;
    if (kind === "close") this.#depth--;
    if (kind === "open" || text === "=") this.#hasValue = true;
    const ends = kind === "semicolon" && (!this.#isTrigger() || this.#endsTrigger());
    this.#beforeLast = this.#last;
    this.#last = word;
    return ends;
  }

  /** The text before `by` is gone. */
  move(by: number): void {
    this.start -= by;
    this.end -= by;
  }

  statement(sql: string): SqlStatement {
    const [verb = ""] = this.#head;
    return { sql, line: this.#line, effect: this.#effect(), verb, parameters: this.#parameters };
  }

  #addWord(word: string): void {
    if (this.#head.length < HEAD_WORDS) this.#head.push(word);
    if (this.#head[0] === "WITH" && this.#mainVerb === undefined && followsWith.test(word))
      this.#mainVerb = word;
  }

  #addParameter(text: string): void {
    const number = /^\?[0-9]+$/.test(text) ? Number(text.slice(1)) : undefined;
    if (number === undefined) {
      if (text === "?") this.#parameters.push(null);
      else if (!this.#parameters.includes(text)) this.#parameters.push(text);
    } else if (number >= 1 && number <= PARAMETER_NUMBER_MAX) {
      while (this.#parameters.length < number) this.#parameters.push(null);
      this.#parameters[number - 1] ??= text;
    }
  }

  #isTrigger(): boolean {
    return /^(EXPLAIN (QUERY PLAN )?)?CREATE (TEMP |TEMPORARY )?TRIGGER\b/.test(this.#head.join(" "));
  }

  #endsTrigger(): boolean {
    return this.#last === "END" && this.#beforeLast === "semicolon";
  }

  #effect(): Effect {
    const [first = "", second = "", third = ""] = this.#head;
    if (first === "PRAGMA") {
      const name = pragmasThatWrite.has(second) ? second : third;
      const writes = pragmasThatWrite.get(name);
      return writes === "always" || (writes === "with a value" && this.#hasValue) ? "write" : "other";
    }
    // Tables that last no longer than the connection.
    if (first === "CREATE" && /^TEMP(ORARY)?$/.test(second)) return "other";
    return verbEffects.get(this.#mainVerb ?? first) ?? "other";
  }
}

const followsWith = /^(SELECT|VALUES|INSERT|UPDATE|DELETE|REPLACE)$/;

const verbEffects: ReadonlyMap<string, Effect> = new Map([
  ["SELECT", "query"],
  ["VALUES", "query"],
  ["INSERT", "write"],
  ["UPDATE", "write"],
  ["DELETE", "write"],
  ["REPLACE", "write"],
  ["CREATE", "write"],
  ["DROP", "write"],
  ["ALTER", "write"],
  ["REINDEX", "write"],
  ["ANALYZE", "write"],
  ["VACUUM", "write"],
  ["BEGIN", "begin"],
  ["SAVEPOINT", "begin"],
]);

const pragmasThatWrite: ReadonlyMap<string, "always" | "with a value"> = new Map([
  ["USER_VERSION", "with a value"],
  ["APPLICATION_ID", "with a value"],
  ["SCHEMA_VERSION", "with a value"],
  ["DEFAULT_CACHE_SIZE", "with a value"],
  ["INCREMENTAL_VACUUM", "always"],
  ["OPTIMIZE", "always"],
]);
