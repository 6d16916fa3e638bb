/**
 * One client's stream of events: what is said to it, and when it is cut off. Thousands of them are open at a time, so that each is little more
 * than its web stream: no timer and no buffer of its own.
 */
import type { Principal } from "../principal.ts";
import { BEAT, type CommitEvent, goneEvent, idLine } from "./commit-event.ts";

/** Beats that may find the last one unread. */
const UNREAD_BEATS = 2;

export class EventStream {
  readonly principal: Principal;
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** The newest LSN that was told, by volume. */
  readonly places: Map<string, number>;
  readonly #queueBytes: number;
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;
  #unread = 0;
  #waiting: (() => void) | undefined;

  /** @param onEnd called once, whoever ends the stream */
  constructor(
    principal: Principal,
    places: Map<string, number>,
    queueBytes: number,
    onEnd: (stream: EventStream) => void,
  ) {
    this.principal = principal;
    this.places = places;
    this.#queueBytes = queueBytes;
    this.#onEnd = onEnd;
    this.body = new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#wakeUp(),
        cancel: () => this.#ended(),
      },
      { highWaterMark: queueBytes, size: (chunk) => chunk.byteLength },
    );
  }

  readonly #onEnd: (stream: EventStream) => void;

  get open(): boolean {
    return this.#controller !== undefined;
  }

  tell(event: CommitEvent): void {
    this.places.set(event.volume, event.lsn);
    if (this.places.size === 1) {
      this.#send(event.alone());
    } else {
      this.#send(idLine(this.places));
      this.#send(event.shared());
    }
  }

  /** Resolves when the reader has taken half of what may wait, or is gone: for whoever has much to tell at once. */
  async room(): Promise<void> {
    while (this.#controller !== undefined && (this.#controller.desiredSize ?? 0) < this.#queueBytes / 2) {
      await new Promise<void>((resolve) => {
        const before = this.#waiting;
        this.#waiting = () => {
          before?.();
          resolve();
        };
      });
    }
  }

  /** Ends one volume; the last one ends the stream. */
  gone(volume: string): void {
    if (!this.places.delete(volume)) return;
    this.#send(goneEvent(volume));
    if (this.places.size === 0) this.close();
  }

  /** A sign of life, and the chance to notice a reader that takes nothing any more. */
  beat(): void {
    if (this.#controller === undefined) return;
    if ((this.#controller.desiredSize ?? 0) < this.#queueBytes) {
      if (++this.#unread > UNREAD_BEATS) this.cutOff("takes nothing any more");
      return;
    }
    this.#unread = 0;
    this.#send(BEAT);
  }

  /** What was told is still delivered. */
  close(): void {
    const controller = this.#controller;
    this.#ended();
    controller?.close();
  }

  /** What was told and not read is dropped. */
  cutOff(reason: string): void {
    const controller = this.#controller;
    this.#ended();
    controller?.error(new Error(`a reader of events ${reason}; it may come back with its Last-Event-ID`));
  }

  #send(bytes: Uint8Array): void {
    const controller = this.#controller;
    if (controller === undefined) return;
    if ((controller.desiredSize ?? 0) < bytes.length) {
      this.cutOff("does not keep up");
      return;
    }
    controller.enqueue(bytes as Uint8Array<ArrayBuffer>);
  }

  #wakeUp(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  #ended(): void {
    if (this.#controller === undefined) return;
    this.#controller = undefined;
    this.#onEnd(this);
    this.#wakeUp();
  }
}
