/**
 * What browser rows load from: pages, the built package, a database as a file, and a Pagefold server behind it, all of one origin. Data requests
 * are counted and can be made to wait; scripts and wasm are neither.
 */
import { createReadStream, readFileSync, statSync } from "node:fs";
import http from "node:http";
import { extname, join } from "node:path";
import { dist } from "../lib/setup.mjs";

const types = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

export async function startSite({ folder, database, serverUrl }) {
  const site = { latencyMs: 0, requests: 0, bytes: 0 };
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  const server = http.createServer((request, response) => {
    const path = new URL(request.url, "http://site").pathname;
    const headers = {
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
      "cache-control": "no-store",
    };
    const data = path.startsWith("/data/") || path.startsWith("/store/") || path === "/bare";
    const answer = () => {
      if (path === "/data/social.sqlite") return sendFile(request, response, database, headers, site);
      if (path.startsWith("/store/")) return forward(request, response, agent, serverUrl, site);
      if (path === "/bare") {
        const bytes = Buffer.alloc(Number(new URL(request.url, "http://site").searchParams.get("bytes")), 97);
        return response.writeHead(200, { ...headers, "content-length": bytes.length }).end(bytes);
      }
      const file = path.startsWith("/pagefold/")
        ? join(dist, "browser", path.slice(10))
        : join(folder, path.slice(1));
      try {
        const body = readFileSync(file);
        response.writeHead(200, {
          ...headers,
          "content-type": types[extname(file)] ?? "application/octet-stream",
        });
        response.end(body);
      } catch {
        response.writeHead(404, headers).end();
      }
    };
    if (!data) return answer();
    site.requests++;
    if (site.latencyMs > 0) setTimeout(answer, site.latencyMs);
    else answer();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(site, {
    origin: `http://127.0.0.1:${server.address().port}`,
    close: () =>
      new Promise((resolve) => {
        agent.destroy();
        server.close(resolve);
        server.closeAllConnections();
      }),
  });
}

function sendFile(request, response, file, headers, site) {
  const { size } = statSync(file);
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const first = match === null ? 0 : Number(match[1]);
  const last = match === null || match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  response.writeHead(match === null ? 200 : 206, {
    ...headers,
    "accept-ranges": "bytes",
    "content-length": last - first + 1,
    "content-type": "application/octet-stream",
    ...(match === null ? {} : { "content-range": `bytes ${first}-${last}/${size}` }),
  });
  if (request.method === "HEAD") return response.end();
  site.bytes += last - first + 1;
  createReadStream(file, { start: first, end: last }).pipe(response);
}

function forward(request, response, agent, serverUrl, site) {
  const { host: _, ...headers } = request.headers;
  const upstream = http.request(
    `${serverUrl}/${request.url.slice("/store/".length)}`,
    { method: request.method, headers, agent },
    (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.on("data", (chunk) => {
        site.bytes += chunk.length;
      });
      answer.pipe(response);
    },
  );
  upstream.on("error", () => response.destroy());
  response.on("close", () => upstream.destroy());
  request.pipe(upstream);
}
