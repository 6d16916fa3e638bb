/**
 * All events of a server: one source per volume, however many subscribers it has, and none for a volume without any. What comes through this
 * server is told at once; what others commit is found by the poll (one listing of one entry per volume and interval) or by a peer's notice.
 * A volume at rest costs no request of the store but that poll, and none where it is switched off.
 */
import type { Lsn, VolumeId } from "../../../src/base/brand.ts";
import { isPagefoldError } from "../../../src/base/errors.ts";
import type { Recorder } from "../../../src/base/recorder.ts";
import type { Runtime } from "../../../src/base/runtime.ts";
import { Semaphore } from "../../../src/base/semaphore.ts";
import type { Codecs } from "../../../src/format/codecs.ts";
import { manifestKey } from "../../../src/format/keys.ts";
import type { ObjectStore } from "../../../src/remote/object-store.ts";
import { findHead } from "../../../src/replicate/head.ts";
import type { CachedStore } from "../cache/with-cache.ts";
import type { Principal } from "../principal.ts";
import type { ServerSettings } from "../settings.ts";
import type { KnownVolume, VolumeLogs } from "../volume-logs.ts";
import { CommitEvents } from "./commit-events.ts";
import { EventStream } from "./event-stream.ts";
import { Keeper } from "./keeper.ts";
import type { Peers } from "./peers.ts";

export interface HubParts {
  readonly store: CachedStore;
  readonly origin: ObjectStore;
  readonly logs: VolumeLogs;
  readonly codecs: Codecs;
  readonly runtime: Runtime;
  readonly recorder: Recorder;
  readonly settings: ServerSettings;
  readonly peers: Peers;
}

/** What a client wants to hear of: everything behind `after`, or only what is new where that is not given. */
export interface Wanted {
  readonly known: KnownVolume;
  readonly after: number | undefined;
}

/** Volumes that are looked at together by the poll. */
const POLLS_AT_ONCE = 16;

interface Source {
  readonly volume: VolumeId;
  readonly forkPoint: Lsn;
  /** The newest commit that subscribers were told of, or need not be. */
  lsn: number;
  /** The newest that is known to exist. */
  target: number;
  running: boolean;
  /** A look at the store that is under way. */
  looking: Promise<void> | undefined;
  /** False for those who still have to be told what is older. */
  readonly subscribers: Map<EventStream, { live: boolean }>;
}

export class EventHub {
  readonly #parts: HubParts;
  readonly #sources = new Map<VolumeId, Source>();
  readonly #streams = new Set<EventStream>();
  readonly #events: CommitEvents;
  readonly #keeper: Keeper;
  #polling = false;
  readonly #stop = new AbortController();
  #closed = false;

  constructor(parts: HubParts) {
    this.#parts = parts;
    this.#events = new CommitEvents(parts);
    const { runtime, settings } = parts;
    this.#keeper = new Keeper(runtime, settings.heartbeatMs, this.#streams, (stream) => {
      for (const volume of [...stream.places.keys()]) this.#end(stream, volume);
    });
  }

  /** Streams that are open. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Volumes that somebody listens to. */
  get volumes(): number {
    return this.#sources.size;
  }

  /** Opens a stream; what is newer than its reader follows as it can be had. */
  open(principal: Principal, wanted: readonly Wanted[], gone: readonly string[]): EventStream {
    const places = new Map<string, number>(
      wanted.map(({ known, after }) => [known.manifest.volume, after ?? 0]),
    );
    for (const volume of gone) places.set(volume, 0);
    const { settings } = this.#parts;
    const stream = new EventStream(principal, places, settings.eventQueueBytes, (ended) => this.#left(ended));
    if (this.#closed) {
      stream.close();
      return stream;
    }
    this.#streams.add(stream);
    // Its first bytes: the reader knows that the way is open.
    stream.beat();
    for (const volume of gone) stream.gone(volume);
    for (const each of wanted) void this.#join(stream, each);
    this.#keeper.keep(principal.expiresAt);
    return stream;
  }

  /** A commit was created through this server. @param object its bytes, where it is known to be these */
  announce(known: KnownVolume, lsn: Lsn, object?: Uint8Array): void {
    const { volume } = known.manifest;
    this.#parts.peers.notify(volume, lsn);
    const source = this.#sources.get(volume);
    if (source === undefined) return;
    if (object !== undefined) this.#events.make(volume, lsn, object);
    this.#learn(source, lsn);
  }

  /** Somebody says that a volume has new commits. Looked up only where anybody listens. */
  async noticed(volume: VolumeId): Promise<void> {
    const source = this.#sources.get(volume);
    if (source !== undefined) await this.#look(source);
  }

  /** The volume was deleted. */
  gone(volume: VolumeId): void {
    const subscribers = this.#sources.get(volume)?.subscribers.keys() ?? [];
    for (const stream of [...subscribers]) this.#end(stream, volume);
  }

  /** Rights may have changed: whoever may not read the volume any more hears no more of it. */
  async recheck(volume: VolumeId, mayRead: (principal: Principal) => Promise<boolean>): Promise<void> {
    const source = this.#sources.get(volume);
    for (const stream of [...(source?.subscribers.keys() ?? [])]) {
      if (!(await mayRead(stream.principal))) this.#end(stream, volume);
    }
  }

  /** Ends all streams, so that their readers go to another server. */
  close(): void {
    this.#closed = true;
    this.#keeper.close();
    this.#stop.abort();
    for (const stream of [...this.#streams]) stream.close();
  }

  async #join(stream: EventStream, { known, after }: Wanted): Promise<void> {
    const { volume } = known.manifest;
    const source = this.#source(known);
    const state = { live: false };
    source.subscribers.set(stream, state);
    this.#poll();
    try {
      // Asked anew: others may have committed since the last look.
      await this.#look(source);
      // Only what is new, or of a reader whose commits the store does not have (any more): from here on.
      if (after === undefined || after > source.lsn) stream.places.set(volume, source.lsn);
      for (;;) {
        const told = stream.places.get(volume);
        if (told === undefined || !stream.open) return;
        if (told >= source.lsn) break;
        for (const event of await this.#events.between(known, told, source.lsn)) {
          await stream.room();
          if ((stream.places.get(volume) ?? event.lsn) < event.lsn) stream.tell(event);
        }
      }
      state.live = true;
    } catch (error) {
      this.#parts.recorder.count("server.events.failed");
      // The reader comes back and is told then.
      stream.cutOff(isPagefoldError(error) ? "cannot be served now" : "met a failure");
    }
  }

  #source(known: KnownVolume): Source {
    const { volume } = known.manifest;
    let source = this.#sources.get(volume);
    if (source === undefined) {
      source = {
        volume,
        forkPoint: known.forkPoint,
        lsn: 0,
        target: 0,
        running: false,
        looking: undefined,
        subscribers: new Map(),
      };
      this.#sources.set(volume, source);
    }
    return source;
  }

  /** Asks the store for the newest commit of a volume; callers at one time share the answer. */
  #look(source: Source): Promise<void> {
    source.looking ??= this.#lookNow(source).finally(() => {
      source.looking = undefined;
    });
    return source.looking;
  }

  async #lookNow(source: Source): Promise<void> {
    const { volume, forkPoint } = source;
    const { origin, recorder } = this.#parts;
    recorder.count("server.events.looks");
    // What is announced while the listing is under way may be newer than what it says.
    const before = source.lsn;
    const head = await findHead(origin, volume, { known: 0 as Lsn, forkPoint });
    if (head < before) {
      if ((await origin.get(manifestKey(volume))) === undefined) return this.gone(volume);
      // The store went back to an older state: what comes now is news again.
      this.#events.clear();
      source.lsn = head;
      source.target = head;
      for (const stream of source.subscribers.keys()) {
        if ((stream.places.get(volume) ?? 0) > head) stream.places.set(volume, head);
      }
    }
    await this.#learn(source, head);
  }

  /** Tells of everything up to `lsn`; resolves when that is done, or another call is doing it. */
  async #learn(source: Source, lsn: number): Promise<void> {
    source.target = Math.max(source.target, lsn);
    if (source.running) return;
    source.running = true;
    try {
      while (source.lsn < source.target) {
        const to = source.target;
        const live = [...source.subscribers.values()].some((state) => state.live);
        if (live) await this.#tellAll(source, to);
        source.lsn = to;
      }
    } catch {
      // Told with the next commit, look or poll.
      this.#parts.recorder.count("server.events.failed");
    } finally {
      source.running = false;
    }
  }

  async #tellAll(source: Source, to: number): Promise<void> {
    const ready = this.#events.made(source.volume, to);
    const next = source.lsn + 1 === to && ready !== undefined;
    const events = next
      ? [ready]
      : await this.#events.between(await this.#parts.logs.volume(source.volume), source.lsn, to);
    const { recorder, runtime } = this.#parts;
    for (const event of events) {
      recorder.observe("server.events.lag_ms", Math.max(0, runtime.now() - event.time));
      for (const [stream, { live }] of source.subscribers) {
        if (live && (stream.places.get(source.volume) ?? event.lsn) < event.lsn) stream.tell(event);
      }
    }
  }

  /** One volume ends for one stream. */
  #end(stream: EventStream, volume: string): void {
    this.#unsubscribe(volume as VolumeId, stream);
    stream.gone(volume);
  }

  #left(stream: EventStream): void {
    this.#streams.delete(stream);
    for (const volume of stream.places.keys()) this.#unsubscribe(volume as VolumeId, stream);
  }

  #unsubscribe(volume: VolumeId, stream: EventStream): void {
    const source = this.#sources.get(volume);
    source?.subscribers.delete(stream);
    if (source?.subscribers.size === 0) this.#sources.delete(volume);
  }

  /** Looks at every volume with subscribers, again and again, while there are any. */
  #poll(): void {
    const { settings } = this.#parts;
    if (this.#polling || settings.pollMs === 0) return;
    this.#polling = true;
    void this.#pollAll();
  }

  async #pollAll(): Promise<void> {
    const { runtime, settings, recorder } = this.#parts;
    const slots = new Semaphore(POLLS_AT_ONCE, "a poll");
    while (!this.#closed && this.#sources.size > 0) {
      await runtime.sleep(settings.pollMs, this.#stop.signal).catch(() => {});
      if (this.#closed) return;
      await Promise.all(
        [...this.#sources.values()].map((source) =>
          slots.run(() => this.#look(source)).catch(() => recorder.count("server.events.poll_failed")),
        ),
      );
    }
    this.#polling = false;
  }
}
