/**
 * Suites that run inside a page: a function that names its cases through `describe` and `it`, as vitest's and as the contract suites do.
 * Node calls it to learn the names, the page to get the bodies; so what is outside the bodies must run in both.
 */
import type { TestApi } from "../../contracts/object-store.ts";

export type PageSuite = (api: TestApi) => void;

export interface PageCase {
  /** The names of the `describe`s around it and its own, joined with " > ". */
  readonly name: string;
  readonly body: (context: unknown) => Promise<void>;
}

/** What a body is given. */
export interface PageCaseContext {
  /** Ends the case as skipped, with this reason. */
  skip(reason: string): never;
}

export class SkipSignal extends Error {
  override readonly name = "SkipSignal";
}

export function collectCases(suite: PageSuite): PageCase[] {
  const cases: PageCase[] = [];
  const path: string[] = [];
  suite({
    describe: (name, body) => {
      path.push(name);
      body();
      path.pop();
    },
    it: (name, body) => cases.push({ name: [...path, name].join(" > "), body }),
  });
  const names = new Set(cases.map(({ name }) => name));
  if (names.size !== cases.length)
    throw new Error("two cases of a page suite have the same name; rename one");
  return cases;
}
