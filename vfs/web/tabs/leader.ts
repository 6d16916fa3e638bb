/**
 * The tab that leads: it has the store, and serves the others. While it opens, those that ask wait; when it ends in order, it lets them finish what
 * they have begun and closes their sessions before its own, so that the next leader finds everything.
 */
import { assert } from "../../../src/base/assert.ts";
import { isPagefoldError } from "../../../src/base/errors.ts";
import type { Connected } from "../../connect.ts";
import type { SessionClient, SessionEvent } from "../../session/protocol.ts";
import { acquireLock, type HeldLock, newTabId } from "./locks.ts";
import { Channel, type Cost, names, type PublicMessage } from "./messages.ts";
import { type Role, RoleLost } from "./role.ts";
import { ServedTab } from "./served-tab.ts";

export interface LeaderOptions {
  readonly storage: string;
  /** Whoever leads holds it; released when this role is over. */
  readonly leadership: HeldLock;
  readonly events: readonly SessionEvent["name"][];
  readonly onEvent: (event: SessionEvent) => void;
}

/** What others have begun may take so long when this tab closes. */
const FINISH_MS = 3000;

export class Leader implements Role {
  readonly kind = "leader";
  readonly client: SessionClient;
  readonly lost: Promise<void>;
  readonly #options: LeaderOptions;
  readonly #tab: string;
  readonly #life: HeldLock;
  readonly #publicChannel: Channel<PublicMessage, PublicMessage>;
  readonly #served = new Map<string, ServedTab>();
  readonly #opened: Promise<Connected>;
  #tellOpened: (connected: Connected) => void = () => {};
  #connected: Connected | undefined;
  #events: readonly SessionEvent["name"][];
  #closing = false;
  #over = false;
  #tellLost: () => void = () => {};

  private constructor(options: LeaderOptions, tab: string, life: HeldLock) {
    this.#options = options;
    this.#tab = tab;
    this.#life = life;
    this.#events = options.events;
    this.#opened = new Promise((resolve) => {
      this.#tellOpened = resolve;
    });
    this.lost = new Promise((resolve) => {
      this.#tellLost = resolve;
    });
    this.client = { call: (...call) => this.#call(...call), close: () => this.close() };
    this.#publicChannel = new Channel(names.publicChannel(options.storage), (message) => {
      if (message.kind === "join") this.#serve(message.tab);
    });
    this.#publicChannel.post({ kind: "leading" });
  }

  /**
   * Leads from now on; others wait until the store is open.
   * @param open opens it
   * @throws what that fails with; then nobody leads
   */
  static async begin(options: LeaderOptions, open: () => Promise<Connected>): Promise<Leader> {
    const tab = newTabId();
    const life = await acquireLock(names.life(tab));
    const leader = new Leader(options, tab, life);
    try {
      leader.#open(await open());
      return leader;
    } catch (error) {
      await leader.#end();
      throw error;
    }
  }

  /** What is open lasts: the others may have sessions on it. */
  share(): void {
    if (this.#connected !== undefined) this.#tellOpened(this.#connected);
  }

  /** What is open lasts no longer than this tab: the others are told to open their own, and what is open here is somebody else's from now on. */
  async standAlone(): Promise<Connected> {
    const connected = this.#connected;
    assert(connected !== undefined, "a leader that has nothing open");
    this.#connected = undefined;
    for (const tab of this.#served.values()) tab.refuse();
    await this.#end();
    return connected;
  }

  listen(events: readonly SessionEvent["name"][]): void {
    this.#events = events;
    this.#relisten();
  }

  cost(): Cost {
    return this.#connected?.cost() ?? { requests: 0, bytesFetched: 0 };
  }

  async close(): Promise<void> {
    if (this.#over || this.#closing) return;
    this.#closing = true;
    const limit = new AbortController();
    const late = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, FINISH_MS);
      limit.signal.addEventListener("abort", () => clearTimeout(timer));
    });
    await Promise.race([Promise.all([...this.#served.values()].map((tab) => tab.finish())), late]);
    limit.abort();
    await this.#end();
  }

  #open(connected: Connected): void {
    this.#connected = connected;
    connected.onEvent((event) => {
      if (this.#events.includes(event.name)) this.#options.onEvent(event);
      if (event.name === "progress") this.#tellOthers(event, undefined);
    });
    // Its worker has ended by itself: another tab, or this one again, is to lead.
    void connected.ended.then(() => this.#end());
    this.#relisten();
  }

  async #call(...call: Parameters<SessionClient["call"]>): ReturnType<SessionClient["call"]> {
    if (this.#over || this.#connected === undefined) throw new RoleLost(false);
    try {
      return await this.#connected.client.call(...call);
    } catch (error) {
      if (isPagefoldError(error, "unavailable") && error.details.worker === "ended") throw new RoleLost(true);
      throw error;
    }
  }

  #serve(tab: string): void {
    if (this.#closing || this.#over || this.#served.has(tab)) return;
    const served = new ServedTab({
      tab,
      leader: this.#tab,
      open: async ({ name, request }) => {
        const connected = await this.#opened;
        return connected.attach(name, request, (event) => {
          served.tell(event);
          if (event.name === "progress") this.#tellOthers(event, served);
        });
      },
      cost: () => this.cost(),
      onListen: () => this.#relisten(),
      onGone: () => {
        this.#served.delete(tab);
        this.#relisten();
      },
    });
    this.#served.set(tab, served);
  }

  /** Every session tells of commits, whoever made them; of its progress only the one whose call it is. */
  #tellOthers(event: SessionEvent, teller: ServedTab | undefined): void {
    for (const tab of this.#served.values()) if (tab !== teller) tab.tell(event);
    if (teller !== undefined && this.#events.includes(event.name)) this.#options.onEvent(event);
  }

  #relisten(): void {
    const tabs = [...this.#served.values()];
    const progress = [this.#events, ...tabs.map(({ events }) => events)].some((events) =>
      events.includes("progress"),
    );
    const withProgress = (events: readonly SessionEvent["name"][]) =>
      progress ? [...new Set([...events, "progress" as const])] : events;
    this.#connected?.listen(withProgress(this.#events));
    for (const tab of tabs) tab.listen(withProgress(tab.events));
  }

  async #end(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#publicChannel.close();
    try {
      // Where the worker is gone there is nothing to close in order.
      for (const tab of [...this.#served.values()]) await tab.end().catch(() => {});
    } finally {
      try {
        await this.#connected?.close();
      } finally {
        this.#life.release();
        this.#options.leadership.release();
        this.#tellLost();
      }
    }
  }
}
