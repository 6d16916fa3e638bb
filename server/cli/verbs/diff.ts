import { type DatabaseDiff, diffDatabase } from "../../../vfs/btree/database-diff.ts";
import { learnPoints } from "../learn-points.ts";
import {
  type CommonOptions,
  defined,
  type LocalOption,
  lsnOrTimeFrom0,
  nonEmpty,
  type PastPoint,
  pointsText,
  withLocal,
  withStore,
} from "../options.ts";
import { facts } from "../output.ts";
import { table } from "../table.ts";
import type { Verb } from "../verb.ts";

const helpText = `
A and B are points of the log: ${pointsText}.
0 is the volume before its first commit; without B it is the newest commit.
Either may be the later one.

Pages are told by who wrote them last, without fetching any. Of a database the
tables and indexes are told, too; for that the inner pages of its trees are
read, and some of those that changed. SQLite overwrites large rows in place:
whose they are, only a look at all rows tells (--thorough).

  pagefold diff shop 17 18
  pagefold diff shop -2h --exact`;

interface DiffOptions extends CommonOptions, LocalOption {
  readonly exact?: true;
  readonly thorough?: true;
}

/** `pagefold diff NAME A [B]`: which pages changed between two points of the log and, in a database, which tables and indexes. */
export const diffVerb: Verb = (program, run) => {
  withLocal(withStore(program.command("diff")), "optional")
    .description("what changed between two commits: pages and, in a database, tables and indexes")
    .argument("<name>", "tag or volume id", nonEmpty)
    .argument("<a>", "LSN or time", lsnOrTimeFrom0)
    .argument("[b]", "LSN or time (default: the newest commit)", lsnOrTimeFrom0)
    .option("--exact", "leave out pages that were written with the bytes that they had")
    .option("--thorough", "read the whole database, if need be, to tell whose large rows changed")
    // A span such as -2h looks like an option. What is neither is refused as a point.
    .allowUnknownOption()
    .addHelpText("after", helpText)
    .action((name: string, a: PastPoint, b: PastPoint | undefined, options: DiffOptions) =>
      run(options, async (session) => {
        const { signal } = session;
        const store = await session.openStore(options);
        const volume = await store.volume(name, { signal });
        await learnPoints(session, volume, b === undefined ? [a] : [a, b]);
        const { exact, thorough } = options;
        const to = b ?? volume.status().lsn;
        const diff = await diffDatabase(volume, a, to, { signal, ...defined({ exact, thorough }) });
        const json = { volume: volume.id, ...diff, objects: diff.objects ?? null };
        const more = diff.unknownPages > 0 && thorough !== true;
        const hint = { talk: "parts of large rows changed in place; --thorough tells of which table" };
        return { json, text: textOf(diff), ...(more ? hint : {}) };
      }),
    );
};

function textOf(diff: DatabaseDiff): string {
  const { from, to, changedPages, zeroedPages, gonePages, freePages, unknownPages, otherPages } = diff;
  const change = (x: number, y: number): string => (x === y ? `${x}` : `${x} → ${y}`);
  const isDatabase = diff.objects !== undefined;
  const summary = facts({
    from,
    to,
    changedPages,
    zeroedPages: zeroedPages || undefined,
    gonePages: gonePages || undefined,
    freePages: freePages || undefined,
    unknownPages: unknownPages || undefined,
    otherPages: isDatabase ? otherPages : undefined,
    pageCount: change(diff.pageCountFrom, diff.pageCountTo),
    byteLength: change(diff.byteLengthFrom, diff.byteLengthTo),
  });
  if (diff.objects === undefined || diff.objects.length === 0) return summary;
  const rows = diff.objects.map(({ change: what, kind, name, table: owner, pages }) => [
    ...[what, kind, name, owner === name ? "" : owner, pages],
  ]);
  return `${summary}\n\n${table(["change", "kind", "name", "of", "pages"], rows)}`;
}
