/** The demo's style sheet: that of the pictures, and the page around them. */
import { pictureStyle } from "../../inspect/picture/style.ts";

export const demoStyle = `${pictureStyle}
main, .wrap { max-width: 1400px; }
header h1 { font-size: 1.6rem; }
.lead { max-width: 70ch; }
header.wrap { padding-bottom: 0; }
header .facts { margin-top: 10px; min-height: 2.9em; }
footer { padding-top: 0; font-size: .88rem; }
.columns { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 14px; align-items: start; }
.stack { min-width: 0; }
.row { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 0 0 8px; }
.row select { flex: 1; min-width: 0; max-width: 100%; }
select, textarea, input[type=text] { background: var(--page); border: 1px solid var(--line); border-radius: 6px; padding: 6px 8px; }
textarea { width: 100%; font: 14px/1.5 ui-monospace, Menlo, Consolas, monospace; resize: vertical; display: block; margin: 0 0 8px; }
.primary { background: var(--accent); color: var(--on-accent); border-color: var(--accent); }
.primary:disabled { opacity: .55; color: var(--on-accent); }
.notice { background: color-mix(in srgb, var(--accent) 12%, transparent); border-radius: 6px; padding: 6px 10px; margin: 0 0 8px; }
[hidden] { display: none !important; }
#problem, .error { color: var(--failed); overflow-wrap: anywhere; white-space: pre-wrap; }
#outcome { margin: 4px 0 8px; overflow-wrap: anywhere; }
#rows { max-height: 520px; }
#rows:empty { display: none; }
#rows table { font: 13px/1.45 ui-monospace, Menlo, Consolas, monospace; }
#rows td { max-width: 36ch; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#rows thead th { position: sticky; top: 0; background: var(--surface); }
#rows tbody tr:nth-child(even) { background: var(--page); }
.null { color: var(--quiet); font-style: italic; }
#waterfall { max-height: 360px; }
.log-box { max-height: 330px; }
.panes { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 12px; }
.pane { border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; min-width: 0; }
.pane h3 { margin: 0 0 6px; font-size: 1rem; }
.pane form { display: flex; gap: 6px; margin: 0 0 8px; }
.pane input { flex: 1; min-width: 0; }
.pane ol { list-style: none; margin: 0; padding: 0; }
.pane li { padding: 3px 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
.pane li .who { color: var(--quiet); font-size: .88rem; display: block; }
.pane li.new { background: color-mix(in srgb, var(--prefetched) 25%, transparent); }
:root { --on-accent: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --on-accent: #0c1118; } }
@media (max-width: 980px) { .columns { grid-template-columns: minmax(0, 1fr); gap: 0; } }
@media (max-width: 620px) {
  header h1 { font-size: 1.3rem; }
  .panes { grid-template-columns: minmax(0, 1fr); }
  /* Below 16 px, phones zoom into what is typed. */
  textarea, select, .pane input { font-size: 16px; }
  #rows { max-height: 380px; }
}
`;
