/**
 * Values for the parameters of SQL, as they are typed: `VALUE`, `name=VALUE`, and `=VALUE` for one that itself looks like `name=…`. The value is text
 * (`--param`) or JSON (`--param-json`); nothing is guessed from what it looks like, so that a script may pass on what others typed.
 */
import { InvalidArgumentError } from "commander";
import type { SqlParameter } from "../../../vfs/index.ts";
import { usageError } from "../errors.ts";
import { fromJson } from "../json.ts";
import type { SqlStatement } from "./statements.ts";

export interface Parameter {
  /** Without `:`, `@` or `$`; absent for one by position. */
  readonly name?: string;
  readonly value: SqlParameter;
}

const named = /^(?:[:@$]?([A-Za-z_\u0080-\uFFFF][\w\u0080-\uFFFF]*))?=(.*)$/s;

export function textParameter(text: string): Parameter {
  const [, name, value = text] = named.exec(text) ?? [];
  return name === undefined ? { value } : { name, value };
}

export function jsonParameter(text: string): Parameter {
  const { name, value } = textParameter(text);
  const parsed = fromJson(value as string);
  if (parsed === undefined) {
    throw new InvalidArgumentError(
      'Give a JSON number, string, true, false or null, {"$blob": "<base64>"}, {"$integer": "<digits>"} or {"$real": "Infinity"}; text goes to --param.',
    );
  }
  return name === undefined ? { value: parsed } : { name, value: parsed };
}

/** Hands the values out to the statements: by name where the name was given, else in their order. */
export class Bindings {
  readonly #named = new Map<string, SqlParameter>();
  readonly #positional: SqlParameter[] = [];
  readonly #unused = new Set<string>();
  #taken = 0;

  /** @throws `invalid` where a name comes twice */
  constructor(parameters: readonly Parameter[]) {
    for (const { name, value } of parameters) {
      if (name === undefined) {
        this.#positional.push(value);
        continue;
      }
      if (this.#named.has(name)) throw usageError(`the parameter ${name} is given twice`);
      this.#named.set(name, value);
      this.#unused.add(name);
    }
  }

  /** The values of a statement's parameters, in SQLite's order. @throws `invalid` where there is none for one of them */
  take({ parameters }: Pick<SqlStatement, "parameters">): SqlParameter[] {
    return parameters.map((written, i) => {
      const name = written?.slice(1) ?? "";
      if (this.#named.has(name)) {
        this.#unused.delete(name);
        return this.#named.get(name);
      }
      if (this.#taken < this.#positional.length) return this.#positional[this.#taken++];
      const isName = written !== null && !written.startsWith("?");
      throw usageError(
        isName
          ? `the parameter ${written} has no value: give one with --param ${name}=VALUE`
          : `parameter ${i + 1} (${written ?? "?"}) has no value: give one more --param VALUE`,
      );
    });
  }

  /** @throws `invalid` where a value was for nothing */
  checkAllUsed(): void {
    const left = this.#positional.length - this.#taken;
    if (left > 0) {
      throw usageError(
        `${left} more value${left === 1 ? " was" : "s were"} given with --param than the SQL has parameters`,
      );
    }
    const [name] = this.#unused;
    if (name !== undefined) throw usageError(`the SQL has no parameter :${name}`);
  }
}
