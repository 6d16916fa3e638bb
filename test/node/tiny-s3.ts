/**
 * A few hundred bytes of S3 in memory, with conditional creation, and a script of faults: enough to see what the S3 store makes
 * of answers that are lost, late or odd, with the real SDK in between.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** `lose`: the request takes effect, and the connection is cut. `cut`: it is cut before. Else an answer in place of the effect. */
export type TinyFault =
  | "lose"
  | "cut"
  | { readonly status: number; readonly code?: string; readonly body?: string };

interface TinyObject {
  readonly bytes: Buffer;
  readonly attempt: string | undefined;
}

export class TinyS3 {
  readonly objects = new Map<string, TinyObject>();
  readonly requests: string[] = [];
  /** Decides, for "PUT /bucket/key", what goes wrong; consulted once per request. */
  fault: (request: string) => TinyFault | undefined = () => undefined;
  /** Whether user metadata is kept, as some servers do not. */
  keepsMetadata = true;
  ignoresRanges = false;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  async listen(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const path = decodeURIComponent((request.url ?? "").split("?")[0] ?? "");
    const name = `${request.method} ${path}`;
    this.requests.push(name);
    const fault = this.fault(name);
    if (fault === "cut") return void request.socket.destroy();
    if (typeof fault === "object") return answer(response, fault.status, errorBody(fault));
    const result = this.#apply(request, path, Buffer.concat(chunks));
    if (fault === "lose") return void request.socket.destroy();
    answer(response, result.status, result.body, result.headers);
  }

  #apply(
    request: IncomingMessage,
    path: string,
    body: Buffer,
  ): { status: number; body: Buffer | string; headers?: Record<string, string> } {
    const found = this.objects.get(path);
    switch (request.method) {
      case "PUT": {
        if (request.headers["if-none-match"] === "*" && found !== undefined) {
          return { status: 412, body: errorBody({ status: 412, code: "PreconditionFailed" }) };
        }
        const attempt = request.headers["x-amz-meta-pagefold-attempt"];
        const kept = this.keepsMetadata && typeof attempt === "string" ? attempt : undefined;
        this.objects.set(path, { bytes: body, attempt: kept });
        return { status: 200, body: "", headers: { etag: '"x"' } };
      }
      case "GET":
      case "HEAD": {
        const query = new URL(request.url ?? "", "http://h").searchParams;
        if (query.get("list-type") === "2") return { status: 200, body: this.#listing(path, query) };
        if (found === undefined) return { status: 404, body: errorBody({ status: 404, code: "NoSuchKey" }) };
        const headers = found.attempt === undefined ? {} : { "x-amz-meta-pagefold-attempt": found.attempt };
        const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
        if (range === null || this.ignoresRanges) return { status: 200, body: found.bytes, headers };
        const start = Number(range[1]);
        const part = found.bytes.subarray(start, Number(range[2]) + 1);
        const contentRange = `bytes ${start}-${start + part.length - 1}/${found.bytes.length}`;
        return { status: 206, body: part, headers: { ...headers, "content-range": contentRange } };
      }
      case "DELETE":
        this.objects.delete(path);
        return { status: 204, body: "" };
      default:
        // DeleteObjects: not known here, as with some servers.
        return { status: 501, body: errorBody({ status: 501, code: "NotImplemented" }) };
    }
  }

  /** ListObjectsV2 in one page, of a bucket that is addressed by its path. */
  #listing(bucketPath: string, query: URLSearchParams): string {
    const base = `${bucketPath.replace(/\/$/, "")}/`;
    const [prefix, after] = [query.get("prefix") ?? "", query.get("start-after") ?? ""];
    const limit = Number(query.get("max-keys") ?? 1000);
    const all = [...this.objects.keys()]
      .filter((path) => path.startsWith(base + prefix))
      .map((path) => path.slice(base.length))
      .filter((key) => key > after)
      .sort();
    const contents = all.slice(0, limit).map((key) => {
      const size = this.objects.get(base + key)?.bytes.length ?? 0;
      return `<Contents><Key>${xmlText(key)}</Key><Size>${size}</Size></Contents>`;
    });
    const more = `<IsTruncated>${all.length > limit}</IsTruncated><KeyCount>${contents.length}</KeyCount>`;
    return `<?xml version="1.0"?><ListBucketResult>${more}${contents.join("")}</ListBucketResult>`;
  }
}

/** What an object's path is within its bucket, as XML writes it. */
function xmlText(text: string): string {
  return text.replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`);
}

function errorBody({ status, code, body }: { status: number; code?: string; body?: string }): string {
  if (body !== undefined) return body;
  return `<?xml version="1.0"?><Error><Code>${code ?? `S${status}`}</Code><Message>scripted</Message><AWSAccessKeyId>AKIDSECRET</AWSAccessKeyId></Error>`;
}

function answer(
  response: ServerResponse,
  status: number,
  body: Buffer | string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-length": Buffer.byteLength(body), ...headers });
  response.end(response.req.method === "HEAD" ? undefined : body);
}
