/**
 * Elements from data. Everything that a page shows comes in as text or as an attribute of a fixed name, never as markup: names of tables and
 * tags are whatever somebody once typed.
 */

export type Child = Node | string | number | null | undefined | false;
type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** An element with attributes (true: present, false and undefined: absent) and children; text stays text. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(parent: Element, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(typeof child === "number" ? String(child) : child);
  }
}

/** The children of an element become these. */
export function replace(parent: Element, ...children: readonly Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

/** A column's name, and whether its cells are numbers. */
export interface Column {
  readonly name: string;
  readonly isNumber?: boolean;
  /** Left out where there is no room for all. */
  readonly isMinor?: boolean;
}

/** The head of a table; cells of its rows take their classes from `cellClass`. */
export function tableHead(columns: readonly Column[]): HTMLTableSectionElement {
  const cells = columns.map((column) => h("th", { scope: "col", class: cellClass(column) }, column.name));
  return h("thead", {}, h("tr", {}, ...cells));
}

export function cellClass({ isNumber, isMinor }: Column): string | undefined {
  const classes = [isNumber === true && "number", isMinor === true && "minor"].filter(Boolean);
  return classes.length === 0 ? undefined : classes.join(" ");
}
