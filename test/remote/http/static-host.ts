/** A static host on the loopback interface that serves a directory's files, with the habits that real ones have. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

export interface StaticHostOptions {
  /** "ranges": 206; "whole": ignores `Range`; "shifted": answers another range than was asked for. */
  readonly ranges?: "ranges" | "whole" | "shifted";
  /** Compress whole answers although nobody asked. */
  readonly gzip?: boolean;
  /** Answer a page where there is no file. */
  readonly page?: boolean;
  /** Answer every path with a redirect to the same under /moved/. */
  readonly redirect?: boolean;
  /** Asked first: a status to answer instead, "cut" to end the connection in the middle of the body. */
  readonly intervene?: (path: string, request: IncomingMessage) => number | "cut" | undefined;
}

export interface StaticHost {
  readonly url: string;
  readonly requests: string[];
  close(): Promise<void>;
}

export async function startStaticHost(
  directory: string,
  options: StaticHostOptions = {},
): Promise<StaticHost> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url} ${request.headers.range ?? ""}`.trim());
    serve(directory, options, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/data`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function serve(
  directory: string,
  options: StaticHostOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = decodeURIComponent(new URL(request.url ?? "/", "http://host").pathname);
  const intervention = options.intervene?.(path, request);
  if (typeof intervention === "number") {
    response.writeHead(intervention, { "retry-after": "0" }).end("busy");
    return;
  }
  if (options.redirect === true && !path.startsWith("/moved/")) {
    response.writeHead(307, { location: `/moved${path}` }).end();
    return;
  }
  const file = join(directory, normalize(path.replace(/^\/moved/, "").replace(/^\/data\//, "/")));
  const size = await stat(file).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
  if (size === undefined) {
    const page = options.page === true;
    response.writeHead(page ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
    response.end("<!doctype html><title>nothing here</title>");
    return;
  }
  const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  const { ranges = "ranges" } = options;
  if (match !== null && ranges !== "whole") {
    const first = Number(match[1]) + (ranges === "shifted" ? 1 : 0);
    const last = Math.min(Number(match[2]) + (ranges === "shifted" ? 1 : 0), size - 1);
    if (first >= size) {
      response.writeHead(416, { "content-range": `bytes */${size}` }).end();
      return;
    }
    response.writeHead(206, {
      "content-range": `bytes ${first}-${last}/${size}`,
      "content-length": last - first + 1,
    });
    if (intervention === "cut") {
      response.write(Buffer.alloc(Math.min(10, last - first)));
      setTimeout(() => response.destroy(), 20);
      return;
    }
    await pipeline(createReadStream(file, { start: first, end: last }), response);
    return;
  }
  if (options.gzip === true) {
    response.writeHead(200, { "content-encoding": "gzip" });
    await pipeline(createReadStream(file), createGzip(), response);
    return;
  }
  response.writeHead(200, { "content-length": size });
  if (request.method === "HEAD") response.end();
  else await pipeline(createReadStream(file), response);
}
