/** The files of the demo's page, read once from the built package: its script and style, and the bundle of `pagefold/browser` as everybody gets it. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { PagefoldError } from "../../src/base/errors.ts";
import { indexHtml } from "./page/index-html.ts";
import { demoStyle } from "./page/style.ts";

export interface Asset {
  readonly type: string;
  readonly bytes: Uint8Array;
  readonly etag: string;
}

const types: Readonly<Record<string, string>> = {
  ".js": "text/javascript; charset=utf-8",
  ".map": "application/json",
  ".wasm": "application/wasm",
};

export interface AssetPlaces {
  /** The page's script. */
  readonly script: string;
  /** Folder of the bundle of `pagefold/browser`. */
  readonly browser: string;
}

/** Path below the demo's address ("", "page.js", "browser/pagefold.js") → file. */
export async function loadAssets(places: AssetPlaces): Promise<ReadonlyMap<string, Asset>> {
  const assets = new Map<string, Asset>([
    ["", textAsset("text/html; charset=utf-8", indexHtml)],
    ["style.css", textAsset("text/css; charset=utf-8", demoStyle)],
  ]);
  try {
    assets.set("page.js", asset(types[".js"]!, await readFile(places.script)));
    for (const name of await readdir(places.browser)) {
      const type = types[extname(name)];
      if (type === undefined) continue;
      assets.set(`browser/${basename(name)}`, asset(type, await readFile(join(places.browser, name))));
    }
  } catch (cause) {
    throw new PagefoldError(
      "not_found",
      `a file of the demo's page is missing (${cause instanceof Error ? cause.message : cause}); build the package (npm run build) and start again`,
      { cause },
    );
  }
  return assets;
}

function textAsset(type: string, text: string): Asset {
  return asset(type, new TextEncoder().encode(text));
}

function asset(type: string, bytes: Uint8Array): Asset {
  return { type, bytes, etag: `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"` };
}
