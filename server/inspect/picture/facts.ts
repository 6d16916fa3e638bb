/** A row of figures with their names. */
import { h } from "./dom.ts";

export type Fact = readonly [name: string, value: string];

export function factList(facts: readonly Fact[]): HTMLElement {
  return h(
    "dl",
    { class: "facts" },
    ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}
