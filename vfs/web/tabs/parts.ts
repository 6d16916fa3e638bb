/**
 * What is larger than one message may be travels between two tabs in parts: a window of them is under way at a time, and each is acknowledged,
 * so that neither side nor the browser between them holds more than the value and that window.
 */
import { pack, sizeAtLeast, unpack } from "./pack.ts";

/** Bytes of one message, about. */
const PART_BYTES = 256 * 1024;
/** Parts of one value that may be under way. */
const WINDOW = 4;

/** In the message that announces a value: the value itself, or how many parts follow. */
export type Body = { readonly whole: unknown } | { readonly parts: number };

export type PartMessage =
  | { readonly kind: "part"; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: "ack"; readonly id: number };

interface Sending {
  readonly bytes: Uint8Array;
  sent: number;
  readonly done: () => void;
}

/** Sends values, each under the number of its call. */
export class Outbox {
  readonly #post: (message: PartMessage) => void;
  readonly #sending = new Map<number, Sending>();

  constructor(post: (message: PartMessage) => void) {
    this.#post = post;
  }

  /**
   * @param announce posts the message that the body belongs to
   * @param done called when the last part was posted; at once for what is whole
   */
  send(id: number, value: unknown, announce: (body: Body) => void, done: () => void = () => {}): void {
    if (sizeAtLeast(value, PART_BYTES) <= PART_BYTES) {
      announce({ whole: value });
      done();
      return;
    }
    const bytes = pack(value);
    announce({ parts: Math.ceil(bytes.length / PART_BYTES) });
    this.#sending.set(id, { bytes, sent: 0, done });
    for (let i = 0; i < WINDOW; i++) this.#next(id);
  }

  /** A part has arrived. */
  acknowledged(id: number): void {
    this.#next(id);
  }

  /** Nobody wants the rest. */
  cancel(id: number): void {
    this.#sending.delete(id);
  }

  #next(id: number): void {
    const sending = this.#sending.get(id);
    if (sending === undefined) return;
    const { bytes, sent } = sending;
    // A copy: a view would take the whole of its buffer along.
    this.#post({ kind: "part", id, bytes: bytes.slice(sent, sent + PART_BYTES) });
    sending.sent += PART_BYTES;
    if (sending.sent < bytes.length) return;
    this.#sending.delete(id);
    sending.done();
  }
}

interface Receiving {
  readonly parts: Uint8Array[];
  left: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Puts together what an Outbox has sent. */
export class Inbox {
  readonly #post: (message: PartMessage) => void;
  readonly #receiving = new Map<number, Receiving>();

  constructor(post: (message: PartMessage) => void) {
    this.#post = post;
  }

  /** The value that a message has announced; never settles where the rest does not come. @throws `corrupt` */
  value(id: number, body: Body): Promise<unknown> {
    if ("whole" in body) return Promise.resolve(body.whole);
    return new Promise((resolve, reject) => {
      this.#receiving.set(id, { parts: [], left: body.parts, resolve, reject });
    });
  }

  part(id: number, bytes: Uint8Array): void {
    const receiving = this.#receiving.get(id);
    if (receiving === undefined) return;
    receiving.parts.push(bytes);
    if (--receiving.left > 0) {
      this.#post({ kind: "ack", id });
      return;
    }
    this.#receiving.delete(id);
    try {
      receiving.resolve(unpack(joined(receiving.parts)));
    } catch (error) {
      receiving.reject(error);
    }
  }

  cancel(id: number): void {
    this.#receiving.delete(id);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
