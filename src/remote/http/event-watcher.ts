/**
 * Live news of commits from a Pagefold server: one stream of server-sent events for all volumes that are watched, opened again wherever it
 * broke off or fell silent, from where each volume was. Nothing is lost by that: news is only ever "the newest commit is n".
 */
import { isPagefoldError, PagefoldError } from "../../base/errors.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { CommitNews, WatchListener } from "../object-store.ts";
import { type ServerEvent, serverEvents } from "./event-stream.ts";
import { errorOfResponse } from "./http-errors.ts";
import { chunksOf, type HttpResponse } from "./http-fetch.ts";

/** Three beats of the server. */
const SILENCE_MS = 45_000;
const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 15_000;
/** Volumes of one stream: their names are in its address. */
const VOLUMES_PER_STREAM = 64;

type Send = (path: string, signal: AbortSignal) => Promise<HttpResponse>;

interface Watched {
  lsn: number;
  readonly listeners: Set<WatchListener>;
}

export class EventWatcher {
  readonly #send: Send;
  readonly #runtime: Runtime;
  readonly #streams = new Set<EventConnection>();

  constructor(send: Send, runtime: Runtime) {
    this.#send = send;
    this.#runtime = runtime;
  }

  watch(volume: string, after: number, listener: WatchListener): () => void {
    const streams = [...this.#streams];
    let stream =
      streams.find((each) => each.watches(volume)) ?? streams.find((each) => each.size < VOLUMES_PER_STREAM);
    if (stream === undefined) {
      stream = new EventConnection(this.#send, this.#runtime, (ended) => this.#streams.delete(ended));
      this.#streams.add(stream);
    }
    return stream.add(volume, after, listener);
  }

  close(): void {
    for (const stream of this.#streams) stream.close();
    this.#streams.clear();
  }
}

class EventConnection {
  readonly #send: Send;
  readonly #runtime: Runtime;
  readonly #onEnd: (self: EventConnection) => void;
  readonly #watched = new Map<string, Watched>();
  /** Ends the request that is under way, so that it is made again for other volumes. */
  #attempt = new AbortController();
  #running = false;
  #closed = false;

  constructor(send: Send, runtime: Runtime, onEnd: (self: EventConnection) => void) {
    this.#send = send;
    this.#runtime = runtime;
    this.#onEnd = onEnd;
  }

  get size(): number {
    return this.#watched.size;
  }

  watches(volume: string): boolean {
    return this.#watched.has(volume);
  }

  add(volume: string, after: number, listener: WatchListener): () => void {
    const known = this.#watched.get(volume);
    if (known !== undefined && known.lsn <= after) known.listeners.add(listener);
    else {
      // Somebody is further behind than the stream is: it starts again from there.
      const listeners = known?.listeners ?? new Set();
      listeners.add(listener);
      this.#watched.set(volume, { lsn: Math.min(after, known?.lsn ?? after), listeners });
      this.#restart();
    }
    if (!this.#running) void this.#run();
    return () => this.#remove(volume, listener);
  }

  close(): void {
    this.#closed = true;
    this.#watched.clear();
    this.#restart();
  }

  #remove(volume: string, listener: WatchListener): void {
    const watched = this.#watched.get(volume);
    if (watched?.listeners.delete(listener) !== true || watched.listeners.size > 0) return;
    this.#watched.delete(volume);
    // The stream goes on where others need it: what it tells of this volume is heard by nobody.
    if (this.#watched.size === 0) this.#restart();
  }

  #restart(): void {
    this.#attempt.abort();
    this.#attempt = new AbortController();
  }

  async #run(): Promise<void> {
    this.#running = true;
    // Whoever watches several volumes names them one after the other.
    await this.#runtime.sleep(0);
    for (let failures = 0; !this.#closed && this.#watched.size > 0; ) {
      const { signal } = this.#attempt;
      let failure: unknown;
      try {
        await this.#listen(signal, () => {
          failures = 0;
        });
      } catch (error) {
        failure = error;
      }
      if (signal.aborted) continue;
      // Silence ends an attempt as "aborted".
      if (isPagefoldError(failure) && !failure.retryable && failure.code !== "aborted") this.#endAll(failure);
      else this.#tell((listener) => listener.onState?.("waiting", failure));
      failures++;
      await this.#pause(failures, failure, signal);
    }
    this.#running = false;
    this.#onEnd(this);
  }

  /** Reads one stream to its end, or until nothing was heard for too long. */
  async #listen(signal: AbortSignal, onAlive: () => void): Promise<void> {
    const controller = new AbortController();
    const stop = (): void => controller.abort();
    signal.addEventListener("abort", stop, { once: true });
    let heardAt = this.#runtime.monotonic();
    const watch = this.#watchSilence(() => heardAt, controller);
    try {
      const query = [...this.#watched].map(([volume, { lsn }]) => `volume=${volume}@${lsn}`).join("&");
      const response = await this.#send(`v1/events?${query}`, controller.signal);
      if (response.status !== 200) throw await errorOfResponse(response, "following commits", {});
      this.#tell((listener) => listener.onState?.("live"));
      for await (const heard of serverEvents(chunksOf(response.body))) {
        heardAt = this.#runtime.monotonic();
        onAlive();
        if (heard !== "beat") this.#onEvent(heard);
      }
    } finally {
      signal.removeEventListener("abort", stop);
      controller.abort();
      await watch;
    }
  }

  async #watchSilence(heardAt: () => number, controller: AbortController): Promise<void> {
    while (!controller.signal.aborted) {
      const left = heardAt() + SILENCE_MS - this.#runtime.monotonic();
      if (left <= 0) return controller.abort();
      await this.#runtime.sleep(left, controller.signal).catch(() => {});
    }
  }

  #onEvent({ event, data }: ServerEvent): void {
    if (event !== "commit" && event !== "gone") return;
    const told = parseEvent(data);
    const watched = told === undefined ? undefined : this.#watched.get(told.volume);
    if (told === undefined || watched === undefined) return;
    if (event === "gone") {
      this.#watched.delete(told.volume);
      const reason = new PagefoldError(
        "not_found",
        `volume ${told.volume} is gone, or may not be read any longer; look at what there is with \`pagefold tags\``,
        { details: { volume: told.volume } },
      );
      for (const listener of watched.listeners) listener.onEnd(reason);
      return;
    }
    watched.lsn = Math.max(watched.lsn, told.lsn);
    for (const listener of watched.listeners) listener.onNews(told);
  }

  #tell(say: (listener: WatchListener) => void): void {
    for (const { listeners } of this.#watched.values()) for (const listener of listeners) say(listener);
  }

  #endAll(reason: unknown): void {
    const all = [...this.#watched.values()];
    this.#watched.clear();
    for (const { listeners } of all) for (const listener of listeners) listener.onEnd(reason);
  }

  /** Waits before the next attempt, or until other volumes are watched. */
  async #pause(failures: number, failure: unknown, signal: AbortSignal): Promise<void> {
    const asked = isPagefoldError(failure) ? Number(failure.details.retryAfterMs ?? 0) : 0;
    const grown = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures - 1, 10));
    await this.#runtime
      .sleep(Math.max(asked, grown * (0.5 + this.#runtime.random() / 2)), signal)
      .catch(() => {});
  }
}

function parseEvent(data: string): CommitNews | undefined {
  let value: Partial<Record<"volume" | "lsn" | "object", unknown>> | null;
  try {
    value = JSON.parse(data) as typeof value;
  } catch {
    return undefined;
  }
  const { volume, lsn = 0, object } = value ?? {};
  if (typeof volume !== "string" || typeof lsn !== "number" || !Number.isSafeInteger(lsn)) return undefined;
  const bytes = typeof object === "string" ? fromBase64(object) : undefined;
  return { volume, lsn, ...(bytes === undefined ? {} : { object: bytes }) };
}

/** undefined for what is no base64: then the object is asked for. */
function fromBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}
