import { build, type Plugin } from "esbuild";
import { defineConfig } from "tsup";
import { buildBrowserBundle } from "./browser.config.ts";

/** Scripts of pages, each whole in itself: they are put into files, or served, alone. */
const scripts = {
  "inspect-picture": "server/inspect/picture/main.ts",
  "demo-page": "server/demo/page/main.ts",
};

/** The demo's page loads `pagefold/browser` from where the server has it, as any page does. */
const browserBundleApart: Plugin = {
  name: "browser-bundle-apart",
  setup: ({ onResolve }) => {
    onResolve({ filter: /\/vfs\/web\/index\.ts$/ }, () => ({
      path: "./browser/pagefold.js",
      external: true,
    }));
  },
};

// One bundle per public entry point; shared code goes into chunks, so that classes keep one identity.
export default defineConfig((options) => ({
  entry: {
    index: "src/index.ts",
    node: "src/node/index.ts",
    s3: "src/node/s3.ts",
    vfs: "vfs/index.ts",
    "vfs-browser": "vfs/browser.ts",
    kysely: "vfs/adapters/kysely.ts",
    drizzle: "vfs/adapters/drizzle.ts",
    contracts: "test/contracts/object-store.ts",
    server: "server/index.ts",
    cli: "server/cli/main.ts",
    demo: "server/demo/main.ts",
    "sql-worker": "vfs/worker/node-worker.ts",
    "sql-worker-browser": "vfs/worker/browser-worker.ts",
    "codec-worker": "src/node/codec-worker.ts",
  },
  format: ["esm"],
  target: "node20",
  platform: "neutral",
  external: [
    /^node:/,
    /^@sqlite\.org/,
    /^@aws-sdk/,
    "hash-wasm",
    "xxhash-wasm",
    "@bokuweb/zstd-wasm",
    "commander",
    "kysely",
    /^drizzle-orm/,
  ],
  dts: {
    entry: {
      index: "src/index.ts",
      node: "src/node/index.ts",
      s3: "src/node/s3.ts",
      vfs: "vfs/index.ts",
      "vfs-browser": "vfs/browser.ts",
      browser: "vfs/web/index.ts",
      kysely: "vfs/adapters/kysely.ts",
      drizzle: "vfs/adapters/drizzle.ts",
      server: "server/index.ts",
      contracts: "test/contracts/object-store.ts",
    },
  },
  // After the bundles above, whose build empties the folder first.
  onSuccess: async () => {
    await buildBrowserBundle({ outdir: `${options.outDir ?? "dist"}/browser` });
    await build({
      entryPoints: scripts,
      outdir: options.outDir ?? "dist",
      bundle: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      charset: "utf8",
      plugins: [browserBundleApart],
    });
  },
  splitting: true,
  sourcemap: true,
  // A build without declarations (`npm start`) leaves those of an earlier one in place.
  clean: options.dts === false ? ["**/*", "!**/*.d.ts"] : true,
}));
