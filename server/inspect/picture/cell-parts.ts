/** What a cell of the map shows, from left to right: its pages by what they are, or by whether they are here in the colour of their table. */
import type { TableFigures } from "../../../src/inspect/inspection.ts";
import type { PageState, Residency } from "../../../src/inspect/residency.ts";
import { mix, type Palette, type Rgb, TABLE_COLOURS } from "./colours.ts";

export interface CellPart {
  readonly colour: Rgb;
  /** Shares of a cell add up to 1. */
  readonly share: number;
}

/** What was not pushed first: it must not be overlooked. */
const order: readonly PageState[] = ["dirty", "hot", "resident", "prefetched", "absent", "unwritten"];
const here: readonly PageState[] = ["dirty", "hot", "resident", "prefetched"];
/** However many pages a cell has, one of them is to be seen. */
const SHARE_MIN = 0.2;
/** How much of its table's colour an absent page has. */
const TINT = 0.28;

export function stateParts(map: Residency, cell: number, palette: Palette): CellPart[] {
  return shared(order.map((state) => ({ pages: map[state][cell]!, colour: palette.states[state] })));
}

export function tableParts(map: Residency, tables: TableFigures, cell: number, palette: Palette): CellPart[] {
  const table = tables.cells[cell] ?? -1;
  const pages = here.reduce((sum, state) => sum + map[state][cell]!, 0);
  const absent = map.absent[cell]! + map.unwritten[cell]!;
  const colour = table < 0 ? palette.tables[TABLE_COLOURS]! : palette.tables[Math.min(table, TABLE_COLOURS)]!;
  const away = table < 0 ? palette.states.absent : mix(palette.surface, colour, TINT);
  return shared([
    { pages, colour },
    { pages: absent, colour: away },
  ]);
}

function shared(parts: readonly { readonly pages: number; readonly colour: Rgb }[]): CellPart[] {
  const present = parts.filter(({ pages }) => pages > 0);
  const all = present.reduce((sum, { pages }) => sum + pages, 0);
  const raised = present.map(({ pages }) => Math.max(SHARE_MIN, pages / all));
  const sum = raised.reduce((total, share) => total + share, 0);
  return present.map(({ colour }, i) => ({ colour, share: raised[i]! / sum }));
}
