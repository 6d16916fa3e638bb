/** The choice of what the map's colours stand for. */
import { h } from "./dom.ts";
import type { MapColours } from "./heat-map.ts";

let choices = 0;

/** Two radio buttons; `onChange` is told each choice. */
export function colourChoice(onChange: (colours: MapColours) => void): HTMLElement {
  const name = `colours-${++choices}`;
  const option = (value: MapColours, text: string, checked: boolean): HTMLElement => {
    const input = h("input", { type: "radio", name, value, checked });
    input.addEventListener("change", () => onChange(value));
    return h("label", {}, input, text);
  };
  return h(
    "fieldset",
    { class: "choice" },
    h("legend", { class: "unseen" }, "Colour the map by"),
    option("state", "by state", true),
    option("table", "by table", false),
  );
}
