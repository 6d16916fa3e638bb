/** Rows against their limits, and the table that shows them. */

/** Adds `met`: undefined where the row did not run. */
export function judged(row) {
  // A row without a limit is for information.
  if (row.skipped !== undefined || row.limit === undefined) return row;
  const figure = row.absolute ? row.ours : row.ratio;
  return { ...row, met: row.atLeast ? figure >= row.limit : figure <= row.limit };
}

export function formatTable(machine, rows) {
  const head = ["row", "ours", "reference", "ratio", "limit", "met", "against"];
  const lines = [head, ...rows.map(cells)];
  const widths = head.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  const table = lines.map((line) =>
    line
      .map((cell, i) => (i === 0 || i === 6 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join("  ")
      .trimEnd(),
  );
  const { cpu, cores, node, date, loadBefore, loadAfter, scale, pairs } = machine;
  const missed = rows.filter((row) => row.met === false).length;
  const skipped = rows.filter((row) => row.skipped !== undefined).length;
  const failed = rows.filter((row) => row.failed !== undefined).length;
  return [
    `${date}, ${cores} × ${cpu}, Node ${node}, scale ${scale}, ${pairs} pairs, load ${loadBefore.toFixed(1)} → ${loadAfter.toFixed(1)}`,
    "",
    ...table,
    "",
    `${rows.filter((row) => row.met).length} met, ${missed} missed, ${skipped} skipped, ${failed} failed`,
  ].join("\n");
}

function cells(row) {
  if (row.failed !== undefined) return [row.row, "", "", "", "", "failed", row.failed];
  const sign = row.atLeast ? "≥" : "≤";
  const limit =
    row.limit === undefined
      ? ""
      : row.absolute
        ? `${sign} ${row.limit} ${row.unit}`
        : `${sign} ${row.limit}×`;
  if (row.skipped !== undefined) return [row.row, "", "", "", limit, "skipped", row.skipped];
  return [
    row.row,
    `${figure(row.ours)} ${row.unit}`,
    row.absolute ? "" : `${figure(row.reference)} ${row.unit}`,
    row.absolute ? "" : `${row.ratio.toFixed(2)}×`,
    limit,
    row.met === undefined ? "" : row.met ? "yes" : "MISSED",
    row.against,
  ];
}

function figure(value) {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(3);
}
