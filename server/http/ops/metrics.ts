/**
 * What Prometheus is told: requests by route and status, how long they took, what they brought, and everything that the engine reports to its
 * `Recorder`. One registry per server, so that two servers in one process do not add up.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Recorder } from "../../../src/base/recorder.ts";
import { type Runtime, systemRuntime } from "../../../src/base/runtime.ts";

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const AMOUNTS = [1, 16, 256, 4096, 65_536, 2 ** 20, 2 ** 24, 2 ** 28];

let processFigures: Registry | undefined;

/** Memory, CPU, event loop: one process, however many servers; what watches them cannot be stopped again. */
function processRegistry(): Registry {
  if (processFigures === undefined) {
    processFigures = new Registry();
    collectDefaultMetrics({ register: processFigures });
  }
  return processFigures;
}

interface RouteMetrics {
  readonly statuses: Map<number, { inc(): void }>;
  readonly duration: { observe(seconds: number): void };
  readonly bytes: { inc(bytes: number): void };
}

export class Metrics {
  readonly registry = new Registry();
  readonly recorder: Recorder;
  readonly #requests: Counter<"route" | "status">;
  readonly #durations: Histogram<"route">;
  readonly #bytes: Counter<"route">;
  readonly #rejected: Counter<"reason">;
  /** Labels are looked up once per route rather than once per request. */
  readonly #routes = new Map<string, RouteMetrics>();

  constructor(runtime: Pick<Runtime, "monotonic"> = systemRuntime) {
    const registers = [this.registry];
    this.#requests = new Counter({
      name: "pagefold_http_requests_total",
      help: "Answers by route and status; 499: the client left before its answer.",
      labelNames: ["route", "status"],
      registers,
    });
    this.#durations = new Histogram({
      name: "pagefold_http_request_duration_seconds",
      help: "From the head of the request to the last byte of the answer, streams of events left out.",
      labelNames: ["route"],
      buckets: SECONDS,
      registers,
    });
    this.#bytes = new Counter({
      name: "pagefold_http_response_bytes_total",
      help: "Bytes sent, heads included.",
      labelNames: ["route"],
      registers,
    });
    this.#rejected = new Counter({
      name: "pagefold_http_rejected_total",
      help: "Requests turned away before they were looked at: rate, load, origin, token.",
      labelNames: ["reason"],
      registers,
    });
    this.recorder = new PrometheusRecorder(this.registry, runtime);
    // It begins to watch the process now, not when it is first asked.
    processRegistry();
  }

  /** Everything in the text format of Prometheus, what Node tells of the process behind it. */
  async text(): Promise<string> {
    return `${await this.registry.metrics()}\n${await processRegistry().metrics()}`;
  }

  /** A figure that is asked for when Prometheus asks. */
  gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  /** One request is over. `ms` is undefined for streams of events, whose length says nothing. */
  finished(route: string, status: number, ms: number | undefined, bytes: number): void {
    const of = this.#routes.get(route) ?? this.#addRoute(route);
    let counter = of.statuses.get(status);
    if (counter === undefined) {
      counter = this.#requests.labels(route, String(status));
      of.statuses.set(status, counter);
    }
    counter.inc();
    if (ms !== undefined) of.duration.observe(ms / 1000);
    of.bytes.inc(bytes);
  }

  rejected(reason: "rate" | "load" | "origin" | "token"): void {
    this.#rejected.labels(reason).inc();
  }

  #addRoute(route: string): RouteMetrics {
    const of: RouteMetrics = {
      statuses: new Map(),
      duration: this.#durations.labels(route),
      bytes: this.#bytes.labels(route),
    };
    this.#routes.set(route, of);
    return of;
  }
}

interface Series {
  add(value: number): void;
}

/** Metrics of the same kind that differ by one label, and how the engine names them. */
const FAMILIES: readonly {
  readonly pattern: RegExp;
  readonly name: string;
  readonly label: string;
  readonly help: string;
}[] = [
  {
    pattern: /^remote\.(get|put|list|delete)\.count$/,
    name: "pagefold_store_requests_total",
    label: "operation",
    help: "Requests to the object store.",
  },
  {
    pattern: /^remote\.(get|put|list|delete)\.failed$/,
    name: "pagefold_store_failures_total",
    label: "operation",
    help: "Requests to the object store that failed.",
  },
  {
    pattern: /^remote\.(get|put)\.bytes$/,
    name: "pagefold_store_bytes_total",
    label: "operation",
    help: "Object bytes from and to the store.",
  },
  {
    pattern: /^remote\.(get|put|list|delete)\.duration_ms$/,
    name: "pagefold_store_duration_seconds",
    label: "operation",
    help: "Duration of requests to the object store.",
  },
  {
    pattern: /^server\.notices\.(sent|failed)$/,
    name: "pagefold_notices_total",
    label: "outcome",
    help: "Notices to peers of commits made here.",
  },
  {
    pattern: /^server\.cache\.(hit|miss|disk_hit)$/,
    name: "pagefold_cache_reads_total",
    label: "outcome",
    help: "Reads of the server's cache: answered from memory, asked further, answered from disk.",
  },
  {
    pattern: /^server\.refused\.(\w+)$/,
    name: "pagefold_refused_total",
    label: "code",
    help: "Requests that were answered with a problem, by its code.",
  },
];

/** Turns the engine's dotted names into Prometheus metrics: counters, and histograms (milliseconds become seconds). */
class PrometheusRecorder implements Recorder {
  readonly #registry: Registry;
  readonly #runtime: Pick<Runtime, "monotonic">;
  readonly #counters = new Map<string, Series>();
  readonly #distributions = new Map<string, Series>();
  readonly #failures = new Map<string, string>();
  readonly #families = new Map<string, Counter<string> | Histogram<string>>();

  constructor(registry: Registry, runtime: Pick<Runtime, "monotonic">) {
    this.#registry = registry;
    this.#runtime = runtime;
  }

  count(name: string, add = 1): void {
    let series = this.#counters.get(name);
    if (series === undefined) {
      series = this.#counter(name);
      this.#counters.set(name, series);
    }
    series.add(add);
  }

  observe(name: string, value: number): void {
    let series = this.#distributions.get(name);
    if (series === undefined) {
      series = this.#histogram(name);
      this.#distributions.set(name, series);
    }
    series.add(value);
  }

  span(name: string): (error?: unknown) => void {
    const start = this.#runtime.monotonic();
    return (error) => {
      this.observe(`${name}.duration_ms`, this.#runtime.monotonic() - start);
      if (error !== undefined) this.count(this.#failureName(name));
    };
  }

  #failureName(name: string): string {
    const failed = this.#failures.get(name) ?? `${name}.failed`;
    this.#failures.set(name, failed);
    return failed;
  }

  #counter(name: string): Series {
    const { metric, label, value, help } = familyOf(name) ?? { metric: `${plain(name)}_total` };
    const counter = this.#family(
      metric,
      () =>
        new Counter({
          name: metric,
          help: help ?? `Counter ${name} of the engine.`,
          labelNames: label === undefined ? [] : [label],
          registers: [this.#registry],
        }),
    ) as Counter<string>;
    const child = value === undefined ? counter : counter.labels(value);
    return { add: (amount) => child.inc(amount) };
  }

  #histogram(name: string): Series {
    const isTime = name.endsWith("_ms");
    const { metric, label, value, help } = familyOf(name) ?? {
      metric: isTime ? `${plain(name.slice(0, -3))}_seconds` : plain(name),
    };
    const histogram = this.#family(
      metric,
      () =>
        new Histogram({
          name: metric,
          help: help ?? `Distribution ${name} of the engine.`,
          labelNames: label === undefined ? [] : [label],
          buckets: isTime ? SECONDS : AMOUNTS,
          registers: [this.#registry],
        }),
    ) as Histogram<string>;
    const child = value === undefined ? histogram : histogram.labels(value);
    return { add: (amount) => child.observe(isTime ? amount / 1000 : amount) };
  }

  #family(
    metric: string,
    make: () => Counter<string> | Histogram<string>,
  ): Counter<string> | Histogram<string> {
    const known = this.#families.get(metric);
    if (known !== undefined) return known;
    const made = make();
    this.#families.set(metric, made);
    return made;
  }
}

interface FamilyMember {
  readonly metric: string;
  readonly label?: string;
  readonly value?: string;
  readonly help?: string;
}

function familyOf(name: string): FamilyMember | undefined {
  for (const { pattern, name: metric, label, help } of FAMILIES) {
    const value = pattern.exec(name)?.[1];
    if (value !== undefined) return { metric, label, value, help };
  }
  return undefined;
}

function plain(name: string): string {
  return `pagefold_${name.replace(/^server\./, "").replace(/[^a-zA-Z0-9]+/g, "_")}`;
}
