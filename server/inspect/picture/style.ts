/** The style sheet that all pictures share, light and dark. Colours are "#rrggbb": canvases read them, too. */
export const pictureStyle = `
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --surface: #ffffff; --text: #1b2028; --quiet: #59626f; --line: #d9dde3; --accent: #1f5fbf; --mark: #111418;
  --absent: #dde1e7; --unwritten: #f0f1f4; --prefetched: #e9b949; --resident: #3f83d4; --hot: #d1432c; --dirty: #9a3fc4; --failed: #c01f3a;
  --table-0: #2f7ed8; --table-1: #e07b1a; --table-2: #2a9d5c; --table-3: #c23b6b; --table-4: #7a55c7; --table-5: #0f9aa8; --table-6: #b5962b;
  --table-7: #8a5a3c; --table-8: #d05fc0; --table-9: #5c7f1e; --table-10: #8b93a0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12151a; --surface: #1a1f26; --text: #e6e9ee; --quiet: #9aa4b2; --line: #303844; --accent: #78aef5; --mark: #ffffff;
    --absent: #2d343f; --unwritten: #20252d; --prefetched: #d9a530; --resident: #4f95ea; --hot: #f0604a; --dirty: #c274ea; --failed: #ff6b81;
    --table-0: #5aa2f2; --table-1: #f09a45; --table-2: #4cc27f; --table-3: #ea6a96; --table-4: #a083ea; --table-5: #3cc0cd; --table-6: #d8ba50;
    --table-7: #bb8764; --table-8: #e588d8; --table-9: #94bb4e; --table-10: #7d8695;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main, .wrap { max-width: 1100px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.35rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 4px; }
p { margin: 0 0 8px; }
section { background: var(--surface); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px; margin: 0 0 14px; min-width: 0; }
.quiet { color: var(--quiet); }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; position: relative; }
th, td { text-align: left; padding: 3px 14px 3px 0; font-weight: normal; vertical-align: top; }
thead th { color: var(--quiet); font-size: .85rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
pre { margin: 0 0 8px; font: 13px/1.45 ui-monospace, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
button, select, input, textarea { font: inherit; color: inherit; }
button { background: var(--surface); border: 1px solid var(--line); border-radius: 6px; padding: 3px 10px; cursor: pointer; }
button:hover:not(:disabled) { border-color: var(--accent); }
button:disabled { color: var(--quiet); cursor: default; }
.facts { display: flex; flex-wrap: wrap; gap: 8px 28px; margin: 0 0 14px; }
.facts div { min-width: 0; }
.facts dt { color: var(--quiet); font-size: .85rem; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.choice { border: 0; margin: 0 0 8px; padding: 0; display: flex; gap: 16px; }
.choice label { display: inline-flex; gap: 6px; align-items: center; cursor: pointer; }
.map-box { min-width: 0; }
.map { display: block; touch-action: pan-y; }
.map-detail { display: block; min-height: 1.5em; margin: 6px 0; color: var(--quiet); overflow-wrap: anywhere; }
.map-legend { overflow-x: auto; max-height: 320px; overflow-y: auto; }
.map-legend .none { color: var(--quiet); }
.map-legend .name { overflow-wrap: anywhere; }
.says { color: var(--quiet); }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: 8px; border: 1px solid var(--line); }
.waterfall table { width: 100%; table-layout: fixed; }
.waterfall th:first-child { width: 30%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.waterfall th:nth-child(2) { width: 15%; } .waterfall th:nth-child(4) { width: 11%; }
.waterfall td, .waterfall tbody th { padding-top: 1px; padding-bottom: 1px; }
.waterfall tr.request th { padding-left: 14px; color: var(--quiet); }
.track { position: relative; display: block; height: 1.1em; margin-top: 3px; background: var(--page); border-radius: 3px; overflow: hidden; }
.bar { position: absolute; top: 0; bottom: 0; min-width: 2px; border-radius: 3px; background: var(--resident); }
.bar.fault { background: var(--prefetched); }
.bar.failed { background: var(--failed); }
.log { width: 100%; }
.log tr[aria-current] { background: color-mix(in srgb, var(--accent) 14%, transparent); }
.log tbody tr:hover { background: var(--page); }
.log tbody tr { scroll-margin: 20px; }
.scroll { overflow: auto; }
@media (max-width: 620px) {
  main, .wrap { padding: 10px; }
  section { padding: 12px; }
  .minor { display: none; }
  th, td { padding-right: 8px; }
  .waterfall th:first-child { width: 36%; } .waterfall th:nth-child(2) { width: 20%; } .waterfall th:nth-child(4) { width: 17%; }
  .waterfall { font-size: .88rem; }
}
@media (prefers-reduced-motion: no-preference) { button { transition: border-color .15s; } }
`;
