/** Builds the pages of browser rows: ours needs no build; the peers are bundled with webpack, as their READMEs have it. */
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import webpack from "webpack";
import { dataDirectory } from "../lib/setup.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const peers = join(dataDirectory, "peers", "node_modules");

export const peerNames = {
  "sqljs-httpvfs": "sql.js-httpvfs 0.8.12",
  "sqlite-wasm-http": "sqlite-wasm-http 1.2.0",
};

/** Which of the peers `npm run bench:setup` has installed. */
export function installedPeers() {
  return Object.keys(peerNames).filter((name) => existsSync(join(peers, peerNames[name].split(" ")[0])));
}

/** Writes `<name>.html` and its scripts into `folder`. */
export async function buildPages(folder) {
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(here, "pages", "pagefold.mjs"), join(folder, "pagefold.mjs"));
  page(folder, "pagefold", "pagefold.mjs");
  const entry = Object.fromEntries(
    installedPeers().map((name) => [name, join(here, "pages", `${name}.mjs`)]),
  );
  if (Object.keys(entry).length === 0) return;
  await bundle(entry, folder);
  for (const name of Object.keys(entry)) page(folder, name, `${name}.js`);
}

function page(folder, name, script) {
  const html = `<!doctype html><meta charset="utf-8"><title>${name}</title><script type="module" src="/${script}"></script>`;
  writeFileSync(join(folder, `${name}.html`), html);
}

function bundle(entry, path) {
  const options = {
    mode: "production",
    target: "web",
    entry,
    output: { path, publicPath: "/" },
    resolve: { modules: [peers] },
    performance: { hints: false },
    // A worker script that is one file already is served as it is.
    module: { rules: [{ test: /sqlite\.worker\.js$/, type: "asset/resource" }] },
  };
  return new Promise((done, failed) => {
    webpack(options, (error, stats) => {
      if (error) failed(error);
      else if (stats.hasErrors()) failed(new Error(stats.toString({ all: false, errors: true })));
      else done();
    });
  });
}
