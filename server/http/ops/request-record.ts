/** What is known of one request while it is under way, from its first byte to the line in the log. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Principal } from "../principal.ts";

export class RequestRecord {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly route: string;
  readonly address: string;
  readonly startedAt: number;
  readonly outgoing: ServerResponse;
  /** Set when the caller is known. */
  principal: Principal | undefined;
  /** The answer was given here (too late, too many): whatever the routes answer afterwards is dropped. */
  answered = false;
  /** When the last byte of the request had come; undefined until then. */
  receivedAt: number | undefined;
  readonly #socket: IncomingMessage["socket"];
  readonly #sentBefore: number;

  constructor(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    about: Pick<RequestRecord, "id" | "path" | "query" | "route" | "address" | "startedAt">,
  ) {
    this.id = about.id;
    this.method = incoming.method ?? "GET";
    this.path = about.path;
    this.query = about.query;
    this.route = about.route;
    this.address = about.address;
    this.startedAt = about.startedAt;
    this.outgoing = outgoing;
    // The answer lets go of its socket when it is through; a connection carries many.
    this.#socket = incoming.socket;
    this.#sentBefore = incoming.socket.bytesWritten;
  }

  /** Bytes of the answer that were handed to the network, its head included. */
  get bytes(): number {
    return Math.max(0, this.#socket.bytesWritten - this.#sentBefore);
  }
}

const recordKey = Symbol("record");

/** Ties a record to what Node or the routes know the request by. A property, because a weak map costs more than the rest together. */
export function tieRecord(to: object, record: RequestRecord): void {
  (to as { [recordKey]?: RequestRecord })[recordKey] = record;
}

/** What is known of a request that the routes are working on. */
export function recordOf(of: object): RequestRecord | undefined {
  return (of as { [recordKey]?: RequestRecord })[recordKey];
}

const CLIENT_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** Ids of requests: the client's own where it is harmless, else a run of this process and a number. */
export function requestIds(randomBytes: (bytes: Uint8Array) => Uint8Array): (given: unknown) => string {
  const run = [...randomBytes(new Uint8Array(5))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  let number = 0;
  return (given) => {
    if (typeof given === "string" && CLIENT_ID.test(given)) return given;
    number++;
    return `${run}-${number.toString(36)}`;
  };
}
