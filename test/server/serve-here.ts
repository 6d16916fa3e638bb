/** The server in this process, on a free port of the loopback interface, for tests of clients. */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import { createServer, type ServerOptions } from "../../server/http/server.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";

export interface ServedHere {
  readonly url: string;
  /** "METHOD path" of every request, in order. */
  readonly requests: string[];
  close(): Promise<void>;
}

export async function serveHere(
  store: ObjectStore,
  options: Omit<Partial<ServerOptions>, "store"> = {},
): Promise<ServedHere> {
  const requests: string[] = [];
  const app = createServer({ ...options, store });
  const http = createHttpServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    answer(app.fetch, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    requests,
    close: async () => {
      const closed = new Promise<void>((resolve) => http.close(() => resolve()));
      http.closeAllConnections();
      await closed;
      await app.close();
    },
  };
}

async function answer(
  fetch: (request: Request) => Response | Promise<Response>,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const controller = new AbortController();
  outgoing.on("close", () => controller.abort());
  const { method = "GET" } = incoming;
  const hasBody = method !== "GET" && method !== "HEAD";
  const request = new Request(`http://${incoming.headers.host}${incoming.url}`, {
    method,
    headers: Object.entries(incoming.headers).map(
      ([name, value]) => [name, String(value)] as [string, string],
    ),
    signal: controller.signal,
    ...(hasBody ? { body: Readable.toWeb(incoming) as unknown as BodyInit, duplex: "half" } : {}),
  } as RequestInit);
  const response = await fetch(request);
  outgoing.writeHead(response.status, headersOf(response));
  if (response.body === null) outgoing.end();
  else await pipeline(Readable.fromWeb(response.body as NodeReadableStream), outgoing);
}

function headersOf({ headers }: Response): Record<string, string> {
  const all: Record<string, string> = {};
  headers.forEach((value, name) => {
    all[name] = value;
  });
  return all;
}
