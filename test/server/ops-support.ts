/** A server of a few plain routes with everything of operation around it, for tests of that alone. */
import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from "node:http";
import { connect } from "node:net";
import { onTestFinished } from "vitest";
import { admission } from "../../server/http/ops/admission.ts";
import type { EnvironmentSecrets } from "../../server/http/ops/config.ts";
import { openLog } from "../../server/http/ops/log.ts";
import { Metrics } from "../../server/http/ops/metrics.ts";
import { type Operation, operate } from "../../server/http/ops/operate.ts";
import { type GivenSettings, withDefaults } from "../../server/http/ops/settings.ts";
import type { Authenticate } from "../../server/http/principal.ts";
import { problemResponse } from "../../server/http/problem.ts";
import { type Runtime, systemRuntime } from "../../src/base/runtime.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";

export type Handler = (
  request: Request,
  authenticate: Authenticate | undefined,
) => Response | Promise<Response>;

export interface Operated {
  readonly url: string;
  readonly port: number;
  readonly operation: Operation;
  readonly metrics: Metrics;
  /** The lines of the log so far. */
  lines(): Record<string, unknown>[];
  /** The log as text. */
  logText(): string;
  /** Resolves with the first line that fits. */
  line(fits: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
}

export interface OperatedOptions {
  readonly settings?: GivenSettings;
  readonly secrets?: EnvironmentSecrets;
  readonly store?: ObjectStore;
  readonly runtime?: Partial<Runtime>;
  readonly onEndStreams?: () => void;
}

/** Starts a server on a free port; it is stopped with the test. */
export async function operated(handler: Handler, options: OperatedOptions = {}): Promise<Operated> {
  const settings = withDefaults({ port: 0, logLevel: "debug", drainTimeout: 100, ...options.settings });
  const runtime = { ...systemRuntime, ...options.runtime };
  let text = "";
  const metrics = new Metrics(runtime);
  const log = openLog("debug", {
    write: (line: string) => {
      text += line;
    },
  });
  const operation = await operate({
    settings,
    admission: await admission(settings, options.secrets ?? {}, runtime),
    store: options.store ?? new MemoryObjectStore(),
    metrics,
    log,
    runtime,
    version: "1.2.3",
    routes: (authenticate) => ({
      fetch: (request) => {
        try {
          const response = handler(request, authenticate);
          return response instanceof Promise ? response.catch((error) => problemResponse(error)) : response;
        } catch (error) {
          return problemResponse(error);
        }
      },
      endStreams: () => options.onEndStreams?.(),
    }),
  });
  onTestFinished(() => operation.stop());
  const lines = (): Record<string, unknown>[] =>
    text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return {
    url: operation.listening.url,
    port: operation.listening.port,
    operation,
    metrics,
    lines,
    logText: () => text,
    line: async (fits) => {
      let found: Record<string, unknown> | undefined;
      await until("a line in the log", () => {
        found = lines().find(fits);
        return found !== undefined;
      });
      return found!;
    },
  };
}

/** Polls until `condition` holds; fails loudly instead of hanging. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Something that happens once, and can be waited for. */
export function gateway<T = void>(): { readonly opened: Promise<T>; open(value: T): void } {
  let open: (value: T) => void = () => {};
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Writes bytes to a port and answers with everything that comes back until the server closes. */
export function speak(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    let answer = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      answer += chunk;
    });
    socket.on("close", () => resolve(answer));
    socket.on("error", reject);
  });
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A request by Node's client: unlike `fetch` it may say any Host and Origin, and sees every header of the answer. */
export function ask(
  url: string,
  options: RequestOptions = {},
  body?: string | Uint8Array,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { agent: false, ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString("utf8"),
        }),
      );
    });
    request.on("error", reject);
    request.end(body);
  });
}
