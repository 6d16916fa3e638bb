/** Hands out the parameters of a call to the statements of its SQL, and notices those that are missing or left over. */
import { PagefoldError } from "../../src/base/errors.ts";
import type { SqlParameter, SqlParameters } from "./values.ts";

export class ParameterSource {
  readonly #positional: readonly SqlParameter[] | undefined;
  readonly #named = new Map<string, SqlParameter>();
  readonly #unused: Set<string>;
  #taken = 0;

  constructor(parameters: SqlParameters) {
    if (Array.isArray(parameters)) {
      this.#positional = parameters;
    } else {
      for (const [name, value] of Object.entries(parameters)) this.#named.set(bare(name), value);
    }
    this.#unused = new Set(this.#named.keys());
  }

  /** The values of a statement's parameters. `names` as SQLite tells them: with their first character, null for a plain `?`. */
  take(names: readonly (string | null)[]): SqlParameter[] {
    const { length } = names;
    if (this.#positional !== undefined) {
      const left = this.#positional.length - this.#taken;
      if (length > left) {
        throw new PagefoldError(
          "invalid",
          `a statement has ${length} parameters and only ${left} values are left for it`,
        );
      }
      this.#taken += length;
      return this.#positional.slice(this.#taken - length, this.#taken);
    }
    return names.map((name, i) => {
      const key = name === null ? `${i + 1}` : bare(name);
      if (!this.#named.has(key)) {
        throw new PagefoldError(
          "invalid",
          `parameter ${name ?? `?${key}`} has no value; give one under "${key}"`,
        );
      }
      this.#unused.delete(key);
      return this.#named.get(key);
    });
  }

  checkAllUsed(): void {
    const left = (this.#positional?.length ?? this.#taken) - this.#taken;
    if (left > 0)
      throw new PagefoldError("invalid", `${left} more values were given than the SQL has parameters`);
    const [name] = this.#unused;
    if (name !== undefined) throw new PagefoldError("invalid", `the SQL has no parameter "${name}"`);
  }
}

function bare(name: string): string {
  return /^[:@$?]/.test(name) ? name.slice(1) : name;
}
