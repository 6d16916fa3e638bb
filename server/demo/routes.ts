/**
 * What is answered below `/demo/`: the page's files, and table maps as they are made. A function from Request to Response, to be asked before the server of
 * the volumes.
 */
import { isPagefoldError } from "../../src/base/errors.ts";
import type { Asset } from "./assets.ts";
import type { TableMaps } from "./table-maps.ts";

const PREFIX = "/demo/";

/** The page loads nothing from elsewhere and runs nothing that is not a file of it. */
const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** With isolation, browsers that cannot suspend WebAssembly share memory with the worker instead. */
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
};

export interface DemoRoutes {
  readonly assets: ReadonlyMap<string, Asset>;
  readonly tables: TableMaps;
}

/** The answer, or undefined for what is not the demo's. */
export function demoAnswer(routes: DemoRoutes, request: Request): Response | undefined {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/" || pathname === "/demo") {
    const isPage = request.method === "GET" && (request.headers.get("accept") ?? "").includes("text/html");
    return pathname === "/demo" || isPage
      ? new Response(null, { status: 302, headers: { Location: PREFIX } })
      : undefined;
  }
  if (!pathname.startsWith(PREFIX)) return undefined;
  if (request.method !== "GET" && request.method !== "HEAD")
    return problem(405, "invalid", "this is a page: GET or HEAD it", { Allow: "GET, HEAD" });
  const path = pathname.slice(PREFIX.length);
  if (path === "tables") return tables(routes.tables, searchParams, request.signal);
  const asset = routes.assets.get(path);
  if (asset === undefined)
    return problem(404, "not_found", `the demo has no ${pathname}; it begins at ${PREFIX}`);
  return file(asset, path === "", request);
}

function file({ type, bytes, etag }: Asset, isPage: boolean, request: Request): Response {
  const headers = {
    ...isolation,
    ...(isPage ? { "Content-Security-Policy": policy, "Referrer-Policy": "no-referrer" } : {}),
    "Content-Type": type,
    // Asked each time, and sent again only after an update.
    "Cache-Control": "no-cache",
    ETag: etag,
  };
  if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304, headers });
  const body = request.method === "HEAD" ? null : (bytes as Uint8Array<ArrayBuffer>);
  return new Response(body, { headers: { ...headers, "Content-Length": String(bytes.length) } });
}

/** Lines of JSON: `{"done","total"}` as it goes on, then `{"figures"}` or `{"error"}`. Whoever closes the answer has asked for nothing. */
function tables(maps: TableMaps, parameters: URLSearchParams, signal: AbortSignal): Response {
  const [lsn, pagesPerCell] = ["lsn", "pagesPerCell"].map((name) => {
    const text = parameters.get(name) ?? "";
    return /^[1-9][0-9]{0,15}$/.test(text) ? Number(text) : Number.NaN;
  }) as [number, number];
  if (!Number.isSafeInteger(lsn) || !Number.isInteger(Math.log2(pagesPerCell)))
    return problem(400, "invalid", "give ?lsn=N&pagesPerCell=M, a commit's number and a power of two");
  const gone = new AbortController();
  const wanted = AbortSignal.any([signal, gone.signal]);
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    start: async (controller) => {
      const line = (value: unknown): void => {
        if (!wanted.aborted) controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
      };
      try {
        const onProgress = (done: number, total: number): void => line({ done, total });
        line({ figures: await maps.get(lsn, pagesPerCell, { signal: wanted, onProgress }) });
      } catch (error) {
        if (!isPagefoldError(error)) {
          controller.error(error);
          return;
        }
        line({ error: { code: error.code, message: error.message } });
      }
      if (!wanted.aborted) controller.close();
    },
    cancel: () => gone.abort(),
  });
  const headers = { ...isolation, "Content-Type": "application/x-ndjson", "Cache-Control": "no-store" };
  return new Response(body, { headers });
}

function problem(
  status: number,
  code: string,
  detail: string,
  headers: Record<string, string> = {},
): Response {
  const body = { type: "about:blank", title: code, status, detail, code };
  return new Response(JSON.stringify(body), {
    status,
    headers: { ...isolation, ...headers, "Content-Type": "application/problem+json" },
  });
}
