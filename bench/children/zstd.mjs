/** `zstd -1 -T1` and `zstd -d` by Node's own zlib, where the system has no zstd: zstd.mjs compress|decompress FROM TO */
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import * as zlib from "node:zlib";

const [verb, from, to] = process.argv.slice(2);
const level = { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 }, chunkSize: 1 << 20 };
const codec =
  verb === "compress" ? zlib.createZstdCompress(level) : zlib.createZstdDecompress({ chunkSize: 1 << 20 });
await pipeline(createReadStream(from, { highWaterMark: 1 << 20 }), codec, createWriteStream(to));
