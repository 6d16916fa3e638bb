/**
 * The way from a database of this tab to whichever session runs its SQL now: this tab's own, where it leads, or one in the tab that leads. Calls
 * that a change of roles has caught are made again where that is safe, and end with the reason where it is not.
 */
import { abortedError } from "../../../src/base/errors.ts";
import { equalRows } from "../../session/equal-rows.ts";
import type { CallKind, SessionCalls, SessionClient } from "../../session/protocol.ts";
import type { SqlRows } from "../../sqlite/connection.ts";
import { type Handle, Handles } from "./handles.ts";
import { isReadOnlySql } from "./read-only-sql.ts";
import { cutOff, RoleLost, unknownOutcome } from "./role.ts";
import type { HeldRole, Roles } from "./roles.ts";

type Request<K extends CallKind> = SessionCalls[K]["request"];
type Reply<K extends CallKind> = SessionCalls[K]["reply"];

/** Nothing is changed by these, or what they open is gone with its session: they may be run once more. */
const HARMLESS: ReadonlySet<CallKind> = new Set<CallKind>(
  "status fetch hydrate verify log diff inspect begin cursor view live follow".split(" ") as CallKind[],
);

export class TabClient implements SessionClient {
  readonly #roles: Roles;
  readonly #handles = new Handles();
  /** The rows that a live query has told last. */
  readonly #told = new Map<number, SqlRows>();

  constructor(roles: Roles) {
    this.#roles = roles;
  }

  async call<K extends CallKind>(kind: K, request: Request<K>, signal?: AbortSignal): Promise<Reply<K>> {
    for (let runs = 0; ; ) {
      const held = await untilAborted(this.#roles.current(), kind, signal);
      try {
        return (await this.#run(held, kind, request, signal)) as Reply<K>;
      } catch (error) {
        if (!(error instanceof RoleLost)) throw error;
        await untilAborted(held.role.lost, kind, signal);
        if (error.sent && runs++ > 0) throw unknownOutcome(kind);
        if (error.sent) this.#checkMayRunAgain(kind, request);
      }
    }
  }

  close(): Promise<void> {
    return this.#roles.close();
  }

  async #run(held: HeldRole, kind: CallKind, request: object, signal?: AbortSignal): Promise<unknown> {
    const call = <K extends CallKind>(itsKind: K, itsRequest: Request<K>): Promise<Reply<K>> =>
      held.role.client.call(itsKind, itsRequest, signal);
    switch (kind) {
      case "status":
        return { ...(await call("status", {})), tab: held.role.kind };
      case "closeCursor":
      case "closeView":
      case "closeLive":
      case "closeFollow":
      case "end":
        return this.#end(held, kind, request, signal);
      case "liveNext":
        return this.#liveNext(held, (request as Request<"liveNext">).live, signal);
    }
    const translated = await this.#handles.inSession(held, request, signal);
    const reply = await call(kind, translated as never);
    return this.#handles.fromSession(held, kind, request, reply);
  }

  /** What an earlier session had open has ended with it. */
  async #end(held: HeldRole, kind: CallKind, request: object, signal?: AbortSignal): Promise<unknown> {
    if (kind === "closeLive") this.#told.delete((request as Request<"closeLive">).live);
    const here = this.#handles.take(held, request as Handle);
    const commits = kind === "end" && (request as Request<"end">).how === "commit";
    if (here === undefined) {
      if (commits) throw cutOff("transaction");
      return kind === "end" ? {} : undefined;
    }
    try {
      return await held.role.client.call(kind, { ...request, ...here } as never, signal);
    } catch (error) {
      if (!(error instanceof RoleLost)) throw error;
      if (commits) throw error.sent ? unknownOutcome("the commit of a transaction") : cutOff("transaction");
      return kind === "end" ? {} : undefined;
    }
  }

  /** Each result once, also across sessions. */
  async #liveNext(held: HeldRole, live: number, signal?: AbortSignal): Promise<SqlRows> {
    for (;;) {
      const here = (await this.#handles.inSession(held, { live }, signal)) as Request<"liveNext">;
      const rows = await held.role.client.call("liveNext", here, signal);
      const last = this.#told.get(live);
      if (last !== undefined && equalRows(last, rows)) continue;
      this.#told.set(live, rows);
      return rows;
    }
  }

  /** @throws the reason why a call that was cut off is not made again */
  #checkMayRunAgain(kind: CallKind, request: object): void {
    if ("transaction" in request && request.transaction !== undefined) throw cutOff("transaction");
    if ("cursor" in request) throw cutOff("iteration");
    if (HARMLESS.has(kind) || kind === "liveNext" || kind === "followNext") return;
    if (kind === "execute") {
      const { sql, view } = request as Request<"execute">;
      if (view !== undefined || isReadOnlySql(sql)) return;
      throw unknownOutcome("a statement that may write");
    }
    throw unknownOutcome(kind);
  }
}

/** Waiting for a tab is ended by the signal; what the tab does is not. */
async function untilAborted<T>(work: Promise<T>, what: string, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return work;
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(abortedError(`the ${what}`, signal.reason));
  });
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
