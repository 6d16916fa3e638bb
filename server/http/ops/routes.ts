/**
 * The names of routes in logs, metrics and the OpenAPI document: paths with their variable parts in braces. There are as many as the
 * document has, whatever is asked for, so that metrics stay bounded.
 */

/** Neither the protocol's nor one of ours. */
export const UNKNOWN_ROUTE = "other";
export const EVENTS_ROUTE = "/v1/events";

/** Finds the route that a path belongs to. */
export class RouteNames {
  /** By the number of parts; a route with fewer variable parts comes first. */
  readonly #byLength = new Map<number, { readonly name: string; readonly parts: readonly string[] }[]>();

  constructor(names: Iterable<string>) {
    const variable = (parts: readonly string[]): number => parts.filter(isVariable).length;
    for (const name of names) {
      const parts = name.split("/");
      const list = this.#byLength.get(parts.length) ?? [];
      list.push({ name, parts });
      list.sort((a, b) => variable(a.parts) - variable(b.parts));
      this.#byLength.set(parts.length, list);
    }
  }

  /** `path` without a query. */
  of(path: string): string {
    const parts = path.split("/");
    const found = this.#byLength
      .get(parts.length)
      ?.find((route) =>
        route.parts.every((part, i) => (isVariable(part) ? parts[i] !== "" : part === parts[i])),
      );
    return found?.name ?? UNKNOWN_ROUTE;
  }
}

function isVariable(part: string): boolean {
  return part.startsWith("{");
}
