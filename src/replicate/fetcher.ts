/**
 * Runs fetch plans asynchronously: bounded concurrency, one flight per range and per frame however many callers want it, aborts
 * counted per waiter, nothing cached but verified pages. Retries belong to the ObjectStore it is given (`withRetry`).
 */
import { Flight } from "../base/flight.ts";
import type { Recorder } from "../base/recorder.ts";
import { Semaphore } from "../base/semaphore.ts";
import { BundledStore } from "../remote/bundled-store.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import type { FetchPlan, RangeRequest } from "../volume/fetch-plan.ts";
import { type FramePlanContext, knownRange } from "./commit-lookup.ts";
import {
  type FrameGroup,
  type FrameTask,
  groupFrames,
  openGroup,
  type PageSink,
  resolveFrames,
  sinkZeros,
  type WantedPages,
} from "./frame-plan.ts";
import { foundGone, toTell } from "./locate.ts";

export interface FetcherSettings {
  /** Ranged GETs at a time; default 16. */
  readonly concurrency: number;
  /** Largest range that serves several frames, bytes; default 4 MiB. */
  readonly maxRangeBytes: number;
  /** What may be read for nothing to save a request, bytes; default 64 KiB. */
  readonly gapBytes: number;
}

export const defaultFetcherSettings: FetcherSettings = {
  concurrency: 16,
  maxRangeBytes: 4 * 2 ** 20,
  gapBytes: 64 * 2 ** 10,
};

type Signal = AbortSignal | undefined;

export class Fetcher {
  readonly settings: FetcherSettings;
  readonly #store: ObjectStore;
  readonly #recorder: Recorder;
  readonly #slots: Semaphore;
  readonly #ranges = new Map<string, Flight<Uint8Array | undefined>>();
  readonly #frames = new Map<string, Flight<void>>();

  constructor(store: ObjectStore, recorder: Recorder, settings: FetcherSettings = defaultFetcherSettings) {
    this.#store = store;
    this.#recorder = recorder;
    this.settings = settings;
    this.#slots = new Semaphore(settings.concurrency, "a free request");
  }

  /** Runs a plan to its end. A failed range fails the plan where it waits. */
  async run<T>(plan: FetchPlan<T>, signal?: Signal): Promise<T> {
    let step = plan.next();
    while (!step.done) {
      let answers: (Uint8Array | undefined)[];
      try {
        answers = await Promise.all(step.value.map((range) => this.get(range, signal)));
      } catch (error) {
        step = plan.throw(error);
        continue;
      }
      step = plan.next(answers);
    }
    return step.value;
  }

  /** One range; callers that want the same range at the same time share one request. */
  get(range: RangeRequest, signal?: Signal): Promise<Uint8Array | undefined> {
    const id = `${range.key}:${range.offset}:${range.length}`;
    return share(this.#ranges, id, `fetching ${range.key}`, signal, (flightSignal) =>
      this.#get(range, flightSignal),
    );
  }

  /** One range for one caller, who may give the bytes away. */
  getAlone(range: RangeRequest, signal?: Signal): Promise<Uint8Array | undefined> {
    return this.#get(range, signal);
  }

  /**
   * Fetches the frames in which `wanted` lies and hands each to `sink` once, whoever asked for it first: `sink` must be the same
   * for all callers of one `scope` (a volume), a cache.
   */
  async load(
    scope: string,
    context: FramePlanContext,
    wanted: readonly WantedPages[],
    sink: PageSink,
    signal?: Signal,
  ): Promise<void> {
    const load = async (): Promise<void> => {
      for (let gone: unknown; ; ) {
        try {
          return await this.#load(scope, context, wanted, sink, signal);
        } catch (error) {
          if (!foundGone(context, error)) throw toTell(context, gone, error);
          gone ??= error;
        }
      }
    };
    return this.#store instanceof BundledStore ? this.#store.orSingly(load) : load();
  }

  async #load(
    scope: string,
    context: FramePlanContext,
    wanted: readonly WantedPages[],
    sink: PageSink,
    signal: Signal,
  ): Promise<void> {
    const { tasks, zeroed } = await this.run(resolveFrames(context, wanted), signal);
    sinkZeros(zeroed, context.directory.manifest.pageSize, sink);
    const others: Promise<void>[] = [];
    const mine: FrameTask[] = [];
    for (const task of tasks) {
      const flight = this.#frames.get(`${scope}/${task.id}`);
      if (flight === undefined || flight.abandoned) mine.push(task);
      else others.push(flight.join(signal));
    }
    const { maxRangeBytes, gapBytes } = this.settings;
    const own = groupFrames(mine, maxRangeBytes, gapBytes).map((group) =>
      this.#startGroup(scope, context, group, sink).join(signal),
    );
    await allSettledThenThrow([...others, ...own]);
  }

  /** One request for a group of frames, which other callers may join frame by frame. */
  #startGroup(scope: string, context: FramePlanContext, group: FrameGroup, sink: PageSink): Flight<void> {
    const ids = group.tasks.map((task) => `${scope}/${task.id}`);
    const flight: Flight<void> = new Flight(`fetching ${group.request.key}`, async (signal) => {
      try {
        const answer = await (knownRange(context.directory, group.request) ??
          this.#get(group.request, signal));
        openGroup(context, group, answer, sink);
      } finally {
        for (const id of ids) if (this.#frames.get(id) === flight) this.#frames.delete(id);
      }
    });
    for (const id of ids) this.#frames.set(id, flight);
    return flight;
  }

  async #get(range: RangeRequest, signal: Signal): Promise<Uint8Array | undefined> {
    return this.#slots.run(async () => {
      const end = this.#recorder.span("fetch.range");
      try {
        const { offset, length } = range;
        const bytes = await this.#store.get(range.key, {
          range: { offset, length },
          ...(signal === undefined ? {} : { signal }),
        });
        end();
        return bytes;
      } catch (error) {
        end(error);
        throw error;
      }
    }, signal);
  }
}

/** Joins the flight of `id`, or starts it; it leaves the map as soon as it has landed, whichever way. */
function share<T>(
  flights: Map<string, Flight<T>>,
  id: string,
  what: string,
  signal: Signal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const running = flights.get(id);
  if (running !== undefined && !running.abandoned) return running.join(signal);
  const flight: Flight<T> = new Flight(what, async (flightSignal) => {
    try {
      return await work(flightSignal);
    } finally {
      if (flights.get(id) === flight) flights.delete(id);
    }
  });
  flights.set(id, flight);
  return flight.join(signal);
}

/** Waits for all, so that no frame is still being written when the caller goes on; then throws the first failure. */
async function allSettledThenThrow(promises: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(promises);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
