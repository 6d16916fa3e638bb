/**
 * Writes golden files that do not exist yet; never rewrites one. It was run once per released version of the format, when the version was new:
 *
 *     npx esbuild test/format/make-golden.ts --bundle --platform=node --format=esm --packages=external \
 *       --outfile=test/format/make-golden.mjs && node test/format/make-golden.mjs && rm test/format/make-golden.mjs
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { deflateRawSync } from "node:zlib";
import { goldenDirectory, goldenFiles } from "./golden.ts";
import { codecs, pageBytes } from "./support.ts";

mkdirSync(goldenDirectory, { recursive: true });
const files = new Map(await goldenFiles());
// What compressors wrote is kept as it was written: other versions of them may write other bytes, and must read these.
files.set("v1-frame-zstd.bin", codecs.compress(pageBytes(16_384, 11)).bytes);
files.set("v1-frame-deflate-raw.bin", deflateRawSync(pageBytes(16_384, 11)));
for (const [name, bytes] of files) {
  const path = new URL(name, goldenDirectory);
  if (existsSync(path)) continue;
  writeFileSync(path, bytes);
  console.log(`${name}: ${bytes.length} bytes`);
}
