/**
 * The numbers by which a database knows what it has open, whichever session that is in. The number of a transaction or an iteration is of one
 * session and dies with it: it must not pass for the same number of the next one. Views of the past, live queries and follows change nothing, so
 * they are opened again in the next session when they are used.
 */
import { PagefoldError } from "../../../src/base/errors.ts";
import type { CallKind, SessionCalls } from "../../session/protocol.ts";
import { cutOff } from "./role.ts";
import type { HeldRole } from "./roles.ts";

/** More than a session will ever hand out. */
const GENERATION = 2 ** 32;

type Request<K extends CallKind> = SessionCalls[K]["request"];

/** What a request refers to. */
export interface Handle {
  readonly transaction?: number;
  readonly cursor?: number;
  readonly view?: number;
  readonly live?: number;
  readonly follow?: number;
}

type Lasting = "view" | "live" | "follow";

/** What can be opened again, and how. */
interface Reopenable {
  readonly kind: Lasting;
  readonly request: object;
  /** Its number in a session. */
  number: number;
  generation: number;
}

export class Handles {
  readonly #lasting = new Map<number, Reopenable>();
  #next = 1;

  /** A request as the session of this role understands it. @throws `unavailable` where it refers to what has ended with an earlier session */
  async inSession(held: HeldRole, request: Handle, signal?: AbortSignal): Promise<object> {
    const { transaction, cursor } = request;
    const here: Record<string, number> = {};
    if (transaction !== undefined)
      here.transaction = numberIn(held, transaction) ?? throws(cutOff("transaction"));
    if (cursor !== undefined) here.cursor = numberIn(held, cursor) ?? throws(cutOff("iteration"));
    for (const kind of ["view", "live", "follow"] as const) {
      const handle = request[kind];
      if (handle !== undefined) here[kind] = await this.#reopened(held, handle, signal);
    }
    return { ...request, ...here };
  }

  /** What a reply has opened, under a number of this side. */
  fromSession(held: HeldRole, kind: CallKind, request: object, reply: unknown): unknown {
    const opened = reply as Handle;
    switch (kind) {
      case "begin":
        return { transaction: handleOf(held, opened.transaction ?? 0) };
      case "cursor":
        return { cursor: handleOf(held, opened.cursor ?? 0) };
      case "live":
      case "follow":
        return { [kind]: this.#add(held, kind, request, opened[kind] ?? 0) };
      case "view": {
        const { view, lsn } = reply as SessionCalls["view"]["reply"];
        // Whatever time it was opened for: it stays where it is.
        return { lsn, view: this.#add(held, kind, { lsn } satisfies Request<"view">, view) };
      }
      default:
        return reply;
    }
  }

  /** Forgets what a request ends; answers its number in the session of this role, or undefined where it is none of that. */
  take(held: HeldRole, request: Handle): Handle | undefined {
    for (const kind of ["transaction", "cursor"] as const) {
      const handle = request[kind];
      if (handle === undefined) continue;
      const number = numberIn(held, handle);
      return number === undefined ? undefined : { [kind]: number };
    }
    const handle = request.view ?? request.live ?? request.follow ?? 0;
    const found = this.#lasting.get(handle);
    this.#lasting.delete(handle);
    return found?.generation === held.generation ? { [found.kind]: found.number } : undefined;
  }

  #add(held: HeldRole, kind: Lasting, request: object, number: number): number {
    const handle = this.#next++;
    this.#lasting.set(handle, { kind, request, number, generation: held.generation });
    return handle;
  }

  async #reopened(held: HeldRole, handle: number, signal?: AbortSignal): Promise<number> {
    const found = this.#lasting.get(handle);
    if (found === undefined) throw new PagefoldError("closed", "this was closed or has ended; open it again");
    if (found.generation !== held.generation) {
      const { kind, request } = found;
      const opened = (await held.role.client.call(kind, request as never, signal)) as Handle;
      found.number = opened[kind] ?? 0;
      found.generation = held.generation;
    }
    return found.number;
  }
}

function handleOf({ generation }: HeldRole, number: number): number {
  return generation * GENERATION + number;
}

function numberIn({ generation }: HeldRole, handle: number): number | undefined {
  return Math.floor(handle / GENERATION) === generation ? handle % GENERATION : undefined;
}

function throws(error: Error): never {
  throw error;
}
