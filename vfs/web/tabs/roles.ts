/**
 * Takes a role for this tab, and the next one when that is lost: whoever gets the lock leads, everybody else is served by whoever has it, and
 * waits in line for it meanwhile.
 */
import { abortedError, isPagefoldError, PagefoldError } from "../../../src/base/errors.ts";
import { systemRuntime } from "../../../src/base/runtime.ts";
import type { Connected } from "../../connect.ts";
import type { SessionEvent } from "../../session/protocol.ts";
import { Candidacy } from "./candidacy.ts";
import { Follower, LeaderIsAlone } from "./follower.ts";
import { Leader } from "./leader.ts";
import { type Cost, names, type TabRequest } from "./messages.ts";
import type { Role } from "./role.ts";

export interface RolesOptions {
  /** Name of the local store. */
  readonly storage: string;
  /** The tag or id of the volume. */
  readonly name: string;
  readonly request: TabRequest;
  /** Opens the store in this tab. */
  readonly openHere: (signal: AbortSignal) => Promise<Connected>;
  readonly onEvent: (event: SessionEvent) => void;
}

/** A role, and how many this tab has had. */
export interface HeldRole {
  readonly role: Role;
  readonly generation: number;
}

/** The worker of a tab that has just gone may keep the store for so long. */
const BUSY_MS = 30_000;
const BUSY_AGAIN_MS = 200;

export class Roles {
  readonly #options: RolesOptions;
  readonly #closing = new AbortController();
  #current: Promise<HeldRole> | undefined;
  #held: Role | undefined;
  #candidacy: Candidacy | undefined;
  #events: readonly SessionEvent["name"][] = [];
  #generation = 0;
  /** Of roles that are over. */
  #spent: Cost = { requests: 0, bytesFetched: 0 };
  /** What the present role had cost when this tab took it: a leader has worked for others before. */
  #base: Cost = { requests: 0, bytesFetched: 0 };

  constructor(options: RolesOptions) {
    this.#options = options;
  }

  /** The role of this tab now, or as soon as it has one. @throws what opening the database fails with; the next call tries again */
  current(): Promise<HeldRole> {
    if (this.#closing.signal.aborted)
      throw new PagefoldError("closed", "this database was closed; open it again");
    this.#current ??= this.#take();
    return this.#current;
  }

  listen(events: readonly SessionEvent["name"][]): void {
    this.#events = events;
    this.#held?.listen(events);
  }

  cost(): Cost {
    const now = this.#held?.cost() ?? this.#base;
    return {
      requests: this.#spent.requests + now.requests - this.#base.requests,
      bytesFetched: this.#spent.bytesFetched + now.bytesFetched - this.#base.bytesFetched,
    };
  }

  async close(): Promise<void> {
    const current = this.#current;
    this.#closing.abort(abortedError("opening the database"));
    const held = await current?.catch(() => undefined);
    await held?.role.close();
    this.#candidacy?.withdraw();
  }

  #take(): Promise<HeldRole> {
    const taking = this.#takeRole();
    const over = (): void => {
      if (this.#current === taking) this.#current = undefined;
    };
    taking.then(({ role }) => this.#hold(role, over), over);
    return taking;
  }

  #hold(role: Role, over: () => void): void {
    this.#held = role;
    this.#base = role.cost();
    role.listen(this.#events);
    void role.lost.then(() => {
      this.#spent = this.cost();
      this.#base = { requests: 0, bytesFetched: 0 };
      this.#held = undefined;
      over();
      // At once, since others may need a leader; where it fails, the next call is told.
      if (!this.#closing.signal.aborted) this.current().catch(() => {});
    });
  }

  async #takeRole(): Promise<HeldRole> {
    const role = await this.#findRole();
    return { role, generation: ++this.#generation };
  }

  async #findRole(): Promise<Role> {
    const { storage, name, request, onEvent } = this.#options;
    const candidacy = this.#candidacy ?? new Candidacy(names.leader(storage));
    this.#candidacy = candidacy;
    if (candidacy.lock !== undefined) return this.#lead(candidacy);
    const joining = new AbortController();
    const signal = AbortSignal.any([joining.signal, this.#closing.signal]);
    const joined = Follower.join({ storage, name, request, events: this.#events, onEvent }, signal);
    try {
      const follower = await Promise.race([joined, candidacy.granted.then(() => undefined)]);
      if (follower === undefined) {
        joining.abort();
        joined.then(
          (late) => late.close(),
          () => {},
        );
        return await this.#lead(candidacy);
      }
      void candidacy.granted.then(() => follower.leaderIsGone());
      return follower;
    } catch (error) {
      candidacy.withdraw();
      this.#candidacy = undefined;
      if (!(error instanceof LeaderIsAlone)) throw error;
      return alone(await this.#options.openHere(this.#closing.signal), onEvent);
    }
  }

  async #lead(candidacy: Candidacy): Promise<Role> {
    const { storage, onEvent } = this.#options;
    this.#candidacy = undefined;
    const options = { storage, leadership: candidacy, events: this.#events, onEvent };
    const leader = await Leader.begin(options, () => this.#openPatiently());
    try {
      const { storage: kind } = await leader.client.call("status", {});
      if (kind === "memory") return alone(await leader.standAlone(), onEvent);
    } catch (error) {
      await leader.close();
      throw error;
    }
    leader.share();
    return leader;
  }

  async #openPatiently(): Promise<Connected> {
    const { signal } = this.#closing;
    for (let waited = 0; ; waited += BUSY_AGAIN_MS) {
      try {
        return await this.#options.openHere(signal);
      } catch (error) {
        if (!isPagefoldError(error, "busy") || waited >= BUSY_MS || signal.aborted) throw error;
      }
      await systemRuntime.sleep(BUSY_AGAIN_MS, signal);
    }
  }
}

/** A database that shares nothing. */
export function alone(connected: Connected, onEvent: (event: SessionEvent) => void): Role {
  connected.onEvent(onEvent);
  return {
    kind: "single",
    client: connected.client,
    listen: (events) => connected.listen(events),
    cost: () => connected.cost(),
    // When its worker ends so do its pages: the database is to be opened again.
    lost: new Promise(() => {}),
    close: () => connected.close(),
  };
}
