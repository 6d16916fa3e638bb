/** Serves byte ranges of the files of a directory over loopback: range-server.mjs DIRECTORY; prints its port. Ends with its parent. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import http from "node:http";
import { join, normalize } from "node:path";

const root = process.argv[2];
const open = new Map();

function fileOf(path) {
  let file = open.get(path);
  if (file === undefined) {
    const fd = openSync(path, "r");
    const facts = fstatSync(fd);
    if (!facts.isFile()) {
      closeSync(fd);
      throw Object.assign(new Error("a directory"), { code: "ENOENT" });
    }
    file = { fd, size: facts.size };
    open.set(path, file);
  }
  return file;
}

const server = http.createServer((request, response) => {
  const path = normalize(decodeURIComponent(request.url ?? "/"));
  let file;
  try {
    file = fileOf(join(root, path));
  } catch {
    response.writeHead(404, { "content-length": 0 }).end();
    return;
  }
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
  const start = Number(from ?? 0);
  const end = Math.min(file.size - 1, Number(to ?? file.size - 1));
  if (start > end) {
    response.writeHead(416, { "content-length": 0 }).end();
    return;
  }
  const bytes = Buffer.allocUnsafe(end - start + 1);
  readSync(file.fd, bytes, 0, bytes.length, start);
  response.writeHead(206, {
    "content-length": bytes.length,
    "content-range": `bytes ${start}-${end}/${file.size}`,
  });
  response.end(bytes);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
