/** The demo's page as it is served; everything that moves in it comes from `main.ts`. */
export const indexHtml = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pagefold demo</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<script type="module" src="page.js"></script>
</head>
<body>
<header class="wrap">
  <h1>A database larger than this tab</h1>
  <p class="lead">SQLite runs here, in your browser; the database lies in the object store behind this server. A query fetches the pages it touches, and no others.</p>
  <div id="totals"></div>
  <p id="problem" role="alert" hidden></p>
</header>
<main class="columns">
  <div class="stack">
    <section aria-labelledby="console-title">
      <h2 id="console-title">SQL</h2>
      <form id="console">
        <div class="row">
          <label for="examples">Examples</label>
          <select id="examples"></select>
        </div>
        <label for="sql" class="unseen">SQL</label>
        <textarea id="sql" rows="7" spellcheck="false" autocapitalize="off" autocomplete="off" aria-describedby="sql-help"></textarea>
        <div class="row">
          <button type="submit" id="run" class="primary" disabled>Run</button>
          <button type="button" id="stop" disabled>Stop</button>
          <button type="button" id="cold" disabled title="Close the database, and open it again with no page here">Start cold</button>
          <span class="quiet" id="sql-help">Ctrl+Enter runs</span>
        </div>
      </form>
      <div class="notice" id="past" hidden><span id="past-text"></span> <button type="button" id="now">Back to now</button></div>
      <div class="notice" id="unpushed" hidden><span id="unpushed-text"></span> <button type="button" id="push">Push</button> <button type="button" id="reset">Drop</button></div>
      <p id="outcome" role="status">Opening the database …</p>
      <div id="rows" class="scroll" tabindex="0" role="region" aria-label="Rows"></div>
    </section>
    <section aria-labelledby="waterfall-title">
      <h2 id="waterfall-title">What the last query waited for</h2>
      <div id="waterfall" class="scroll" tabindex="0" role="region" aria-label="Faults and requests"><p class="quiet">Run a query.</p></div>
    </section>
    <section aria-labelledby="log-title">
      <h2 id="log-title">Log</h2>
      <p class="quiet">Every commit stays readable: choose one, and the SQL above runs on the database as it was.</p>
      <div id="log" class="scroll log-box"></div>
    </section>
  </div>
  <div class="stack">
    <section aria-labelledby="map-title">
      <h2 id="map-title">Pages</h2>
      <p class="quiet" id="map-text"></p>
      <div id="map-choice"></div>
      <p class="quiet" id="map-progress" role="status" hidden></p>
      <div id="map"></div>
    </section>
    <section aria-labelledby="panes-title">
      <h2 id="panes-title">Two readers, two writers</h2>
      <p class="quiet">Two more databases in this page, each with a worker and pages of its own. What one pushes the server announces, and the other moves there.</p>
      <div class="panes" id="panes"></div>
      <p id="travel" role="status" class="quiet"></p>
    </section>
  </div>
</main>
<footer class="wrap quiet">Nothing here comes from anywhere but this server. Data and names are made up.</footer>
<noscript><p class="wrap">This page runs SQLite in the browser, and needs scripts for that.</p></noscript>
</body>
</html>
`;
