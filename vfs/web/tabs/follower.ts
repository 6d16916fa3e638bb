/**
 * A tab that another one runs SQL for: its calls travel over a channel of its own to the tab that leads, which has a session of this tab's
 * own, with its own transactions, iterations and live queries.
 */
import { abortedError, isPagefoldError } from "../../../src/base/errors.ts";
import type { CallKind, SessionCalls, SessionClient, SessionEvent } from "../../session/protocol.ts";
import { fromWireError, unsendable } from "../../wire-error.ts";
import { acquireLock, type HeldLock, newTabId, whenFree } from "./locks.ts";
import {
  Channel,
  type Cost,
  names,
  type PublicMessage,
  type TabRequest,
  type ToFollower,
  type ToLeader,
} from "./messages.ts";
import { Inbox, Outbox } from "./parts.ts";
import { type Role, RoleLost, silentLeader } from "./role.ts";
import { ROUNDS_MAX, SilenceWatch } from "./silence.ts";

export interface FollowerOptions {
  readonly storage: string;
  readonly name: string;
  readonly request: TabRequest;
  readonly events: readonly SessionEvent["name"][];
  readonly onEvent: (event: SessionEvent) => void;
}

/** The leader shares nothing, since it has nothing that lasts. */
export class LeaderIsAlone extends Error {}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Whether all of it has left this tab. */
  sent: boolean;
}

/** A closing leader has so long to say that a session has ended. */
const BYE_MS = 2000;

export class Follower implements Role, SessionClient {
  readonly kind = "follower";
  readonly client: SessionClient = this;
  readonly lost: Promise<void>;
  readonly #options: FollowerOptions;
  readonly #life: HeldLock;
  readonly #channel: Channel<ToFollower, ToLeader>;
  readonly #publicChannel: Channel<PublicMessage, PublicMessage>;
  readonly #tab: string;
  readonly #outbox = new Outbox((message) => this.#channel.post(message));
  readonly #inbox = new Inbox((message) => this.#channel.post(message));
  readonly #waiting = new Map<number, Waiting>();
  readonly #silence: SilenceWatch;
  #tellLost: () => void = () => {};
  #opened: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;
  #stopWatching: () => void = () => {};
  #cost: Cost = { requests: 0, bytesFetched: 0 };
  #leader: string | undefined;
  #leaderEnding = false;
  #over = false;
  #nextId = 1;

  private constructor(options: FollowerOptions, tab: string, life: HeldLock) {
    this.#options = options;
    this.#tab = tab;
    this.#life = life;
    this.lost = new Promise((resolve) => {
      this.#tellLost = resolve;
    });
    this.#channel = new Channel(names.channelOf(tab), (message) => this.#receive(message));
    this.#publicChannel = new Channel(names.publicChannel(options.storage), ({ kind }) => {
      if (kind === "leading" && this.#leader === undefined) this.#join();
    });
    this.#silence = new SilenceWatch(
      () => (this.#leader === undefined ? this.#join() : this.#channel.post({ kind: "ping" })),
      () => this.#failWaiting(),
    );
  }

  /**
   * Is served by the tab that leads, now or as soon as one does.
   * @throws what opening the database there fails with; `LeaderIsAlone`; `unavailable` where the leader does not answer
   */
  static async join(options: FollowerOptions, signal: AbortSignal): Promise<Follower> {
    const tab = newTabId();
    const life = await acquireLock(names.life(tab));
    const follower = new Follower(options, tab, life);
    const stop = (): void => follower.#opened?.reject(abortedError("joining the tab that leads"));
    signal.addEventListener("abort", stop, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        follower.#opened = { resolve, reject };
        if (signal.aborted) return stop();
        follower.#silence.start();
        follower.#join();
      });
      return follower;
    } catch (error) {
      follower.#end();
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      follower.#opened = undefined;
      follower.#rest();
    }
  }

  async call<K extends CallKind>(
    kind: K,
    request: SessionCalls[K]["request"],
    signal?: AbortSignal,
  ): Promise<SessionCalls[K]["reply"]> {
    if (signal?.aborted) throw abortedError(`the ${kind}`, signal.reason);
    if (this.#over || (this.#leaderEnding && !belongsToSomethingOpen(request))) throw new RoleLost(false);
    const id = this.#nextId++;
    const reply = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, sent: false });
    });
    const onAbort = (): void => this.#channel.post({ kind: "abort", id });
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#silence.start();
    try {
      this.#send(id, kind, request);
      return (await reply) as SessionCalls[K]["reply"];
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#waiting.delete(id);
      this.#outbox.cancel(id);
      this.#inbox.cancel(id);
      this.#rest();
    }
  }

  #send(id: number, kind: CallKind, request: object): void {
    try {
      this.#outbox.send(
        id,
        request,
        (body) => this.#channel.post({ kind: "call", id, call: kind, body }),
        () => {
          const waiting = this.#waiting.get(id);
          if (waiting !== undefined) waiting.sent = true;
        },
      );
    } catch (error) {
      throw isPagefoldError(error) ? error : unsendable(error);
    }
  }

  listen(events: readonly SessionEvent["name"][]): void {
    if (!this.#over) this.#channel.post({ kind: "listen", events });
  }

  cost(): Cost {
    return this.#cost;
  }

  /** This tab leads itself now, or nobody does. */
  leaderIsGone(): void {
    this.#lose();
  }

  async close(): Promise<void> {
    if (this.#over) return;
    this.#channel.post({ kind: "bye" });
    // Until the session there has ended, so that its transaction is rolled back when this resolves; the leader may be frozen.
    const limit = new AbortController();
    const late = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, BYE_MS);
      limit.signal.addEventListener("abort", () => clearTimeout(timer));
    });
    await Promise.race([this.lost, late]);
    limit.abort();
    this.#lose();
  }

  #join(): void {
    this.#publicChannel.post({ kind: "join", tab: this.#tab });
  }

  #receive(message: ToFollower): void {
    if (this.#over) return;
    this.#silence.heard();
    switch (message.kind) {
      case "hello":
        this.#meet(message.leader);
        break;
      case "opened":
        this.#cost = message.cost;
        this.#opened?.resolve();
        break;
      case "refused":
        this.#opened?.reject(fromWireError(message.error));
        break;
      case "alone":
        this.#opened?.reject(new LeaderIsAlone());
        break;
      case "reply":
        this.#answered(message);
        break;
      case "failed":
        this.#cost = message.cost;
        this.#waiting.get(message.id)?.reject(fromWireError(message.error));
        break;
      case "not-run":
        this.#waiting.get(message.id)?.reject(new RoleLost(false));
        break;
      case "happened":
        this.#options.onEvent(message.event);
        break;
      case "ending":
        this.#leaderEnding = true;
        break;
      case "ended":
        this.#lose();
        break;
      case "part":
        this.#inbox.part(message.id, message.bytes);
        break;
      case "ack":
        this.#outbox.acknowledged(message.id);
        break;
      case "pong":
        break;
    }
  }

  #meet(leader: string): void {
    if (this.#leader !== undefined) return;
    this.#leader = leader;
    this.#stopWatching = whenFree(names.life(leader), () => this.#lose());
    const { name, request, events } = this.#options;
    this.#channel.post({ kind: "open", name, request, events });
  }

  #answered({ id, body, cost }: Extract<ToFollower, { kind: "reply" }>): void {
    this.#cost = cost;
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined) this.#inbox.value(id, body).then(waiting.resolve, waiting.reject);
  }

  /** Nothing is due any more when nothing waits. */
  #rest(): void {
    if (this.#waiting.size === 0 && this.#opened === undefined) this.#silence.stop();
  }

  /** Silence. What was asked is called off, should the leader wake up and find it. */
  #failWaiting(): void {
    const error = silentLeader(ROUNDS_MAX);
    this.#opened?.reject(error);
    for (const [id, waiting] of this.#waiting) {
      this.#channel.post({ kind: "abort", id });
      waiting.reject(error);
    }
  }

  #lose(): void {
    // Before there is a session the next leader is waited for.
    if (this.#opened !== undefined && !this.#over) {
      this.#leader = undefined;
      this.#stopWatching();
      return;
    }
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopWatching();
    this.#silence.stop();
    for (const waiting of this.#waiting.values()) waiting.reject(new RoleLost(waiting.sent));
    this.#channel.close();
    this.#publicChannel.close();
    this.#life.release();
    this.#tellLost();
  }
}

/** A leader that is ending lets these come to their end. */
export function belongsToSomethingOpen(request: object): boolean {
  return "transaction" in request || "cursor" in request;
}
