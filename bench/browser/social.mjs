/** The social network's database as a volume behind a server, as a file on a site, and a browser to look at both. */
import { join } from "node:path";
import { socialDatabase } from "../data/social.mjs";
import { run } from "../lib/process.mjs";
import { startServer } from "../lib/server.mjs";
import { cli, scratch } from "../lib/setup.mjs";
import { buildPages } from "./build.mjs";
import { launch } from "./chromium.mjs";
import { startSite } from "./site.mjs";

/** @param more options of the server */
export async function serveSocial(more = []) {
  const database = await socialDatabase();
  const folder = scratch();
  const store = join(folder, "store");
  await run(process.execPath, [cli, "import", database, "--tag", "social", "--store", store, "--quiet"]);
  await buildPages(join(folder, "pages"));
  const chromium = await launch();
  if ("unavailable" in chromium) return chromium;
  const server = await startServer(store, more);
  const site = await startSite({ folder: join(folder, "pages"), database, serverUrl: server.url });
  const close = async () => {
    await site.close();
    server.stop();
    await chromium.close();
  };
  return { chromium, server, site, close };
}
