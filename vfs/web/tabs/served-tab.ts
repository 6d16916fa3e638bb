/** One tab that follows, as the tab that leads sees it: its channel, its session, and what it has under way. */
import { abortedError } from "../../../src/base/errors.ts";
import type { AttachedSession } from "../../connect.ts";
import type { CallKind, SessionCalls, SessionEvent } from "../../session/protocol.ts";
import { toWireError } from "../../wire-error.ts";
import { belongsToSomethingOpen } from "./follower.ts";
import { whenFree } from "./locks.ts";
import { Channel, type Cost, names, type ToFollower, type ToLeader } from "./messages.ts";
import { Inbox, Outbox } from "./parts.ts";

export interface ServedTabOptions {
  readonly tab: string;
  readonly leader: string;
  readonly open: (message: Extract<ToLeader, { kind: "open" }>) => Promise<AttachedSession>;
  readonly cost: () => Cost;
  /** Other events are wanted than before. */
  readonly onListen: () => void;
  readonly onGone: () => void;
}

/** Calls that wait until something happens: nothing is lost when they are not waited for. */
const WAITS: ReadonlySet<CallKind> = new Set<CallKind>(["liveNext", "followNext"]);

export class ServedTab {
  readonly #options: ServedTabOptions;
  readonly #channel: Channel<ToLeader, ToFollower>;
  readonly #outbox = new Outbox((message) => this.#channel.post(message));
  readonly #inbox = new Inbox((message) => this.#channel.post(message));
  readonly #running = new Map<number, { readonly controller: AbortController; readonly kind: CallKind }>();
  readonly #transactions = new Set<number>();
  readonly #stopWatching: () => void;
  #session: AttachedSession | undefined;
  #events: readonly SessionEvent["name"][] = [];
  #onIdle: () => void = () => {};
  #ending = false;
  #ended: Promise<void> | undefined;

  constructor(options: ServedTabOptions) {
    this.#options = options;
    this.#channel = new Channel(names.channelOf(options.tab), (message) => this.#receive(message));
    this.#stopWatching = whenFree(names.life(options.tab), () => {
      // A session that does not close in order is gone with its worker.
      this.end().catch(() => {});
    });
    this.#channel.post({ kind: "hello", leader: options.leader });
  }

  /** What this tab wants to hear of. */
  get events(): readonly SessionEvent["name"][] {
    return this.#events;
  }

  /** What its session is to tell from now on, for this tab and for others. */
  listen(events: readonly SessionEvent["name"][]): void {
    this.#session?.listen(events);
  }

  tell(event: SessionEvent): void {
    if (this.#ended === undefined && this.#events.includes(event.name))
      this.#channel.post({ kind: "happened", event });
  }

  /** Begins nothing new, and resolves when nothing is under way that would be lost. */
  finish(): Promise<void> {
    this.#ending = true;
    this.#channel.post({ kind: "ending" });
    for (const [id, { kind }] of this.#running) if (WAITS.has(kind)) this.#putBack(id);
    return new Promise((resolve) => {
      this.#onIdle = () => {
        if (this.#running.size === 0 && this.#transactions.size === 0) resolve();
      };
      this.#onIdle();
    });
  }

  /** Before it has a session: it is to open its own. */
  refuse(): void {
    this.#channel.post({ kind: "alone" });
  }

  /** Ends its session, wherever it is, and says so. Idempotent. */
  end(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#stopWatching();
    for (const { controller } of this.#running.values()) controller.abort(abortedError("the call"));
    try {
      await this.#session?.close();
    } finally {
      this.#channel.post({ kind: "ended" });
      this.#channel.close();
      this.#options.onGone();
    }
  }

  #receive(message: ToLeader): void {
    switch (message.kind) {
      case "open":
        void this.#open(message);
        break;
      case "call":
        void this.#answer(message);
        break;
      case "abort":
        this.#outbox.cancel(message.id);
        this.#inbox.cancel(message.id);
        this.#running.get(message.id)?.controller.abort(abortedError("the request"));
        break;
      case "listen":
        this.#events = message.events;
        this.#options.onListen();
        break;
      case "ping":
        this.#channel.post({ kind: "pong" });
        break;
      case "bye":
        // A session that does not close in order is gone with its worker.
        void this.end().catch(() => {});
        break;
      case "part":
        this.#inbox.part(message.id, message.bytes);
        break;
      case "ack":
        this.#outbox.acknowledged(message.id);
        break;
    }
  }

  async #open(message: Extract<ToLeader, { kind: "open" }>): Promise<void> {
    this.#events = message.events;
    try {
      const session = await this.#options.open(message);
      if (this.#ended !== undefined) await session.close();
      else {
        this.#session = session;
        this.#options.onListen();
        this.#channel.post({ kind: "opened", cost: this.#options.cost() });
      }
    } catch (error) {
      if (this.#ended === undefined) this.#channel.post({ kind: "refused", error: toWireError(error) });
      await this.end().catch(() => {});
    }
  }

  async #answer({ id, call, body }: Extract<ToLeader, { kind: "call" }>): Promise<void> {
    const controller = new AbortController();
    this.#running.set(id, { controller, kind: call });
    try {
      const request = (await this.#inbox.value(id, body)) as SessionCalls[typeof call]["request"];
      if (this.#session === undefined || (this.#ending && !belongsToSomethingOpen(request))) {
        if (this.#ended === undefined) this.#channel.post({ kind: "not-run", id });
        return;
      }
      const value = await this.#session.call(call, request, controller.signal);
      this.#noteTransaction(call, request, value);
      if (!this.#running.has(id) || this.#ended !== undefined) return;
      const cost = this.#options.cost();
      this.#outbox.send(id, value, (sent) => this.#channel.post({ kind: "reply", id, body: sent, cost }));
    } catch (error) {
      // What this tab itself has ended is told by `ended`.
      if (!this.#running.has(id) || this.#ended !== undefined) return;
      const cost = this.#options.cost();
      this.#channel.post({ kind: "failed", id, error: toWireError(error), cost });
    } finally {
      this.#running.delete(id);
      this.#onIdle();
    }
  }

  /** It had not begun to matter: it is asked for again, of the next leader. */
  #putBack(id: number): void {
    const running = this.#running.get(id);
    this.#running.delete(id);
    running?.controller.abort(abortedError("the call"));
    this.#channel.post({ kind: "not-run", id });
  }

  #noteTransaction(call: CallKind, request: object, value: unknown): void {
    if (call === "begin") this.#transactions.add((value as SessionCalls["begin"]["reply"]).transaction);
    if (call === "end") this.#transactions.delete((request as SessionCalls["end"]["request"]).transaction);
  }
}
