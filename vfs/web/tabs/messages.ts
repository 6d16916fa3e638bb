/**
 * What the tabs of one storage say to each other. There is one channel that all hear, on which a tab asks to be served, and one channel for each
 * tab that is served, with exactly two ends.
 */
import type { ConnectOptions } from "../../connect.ts";
import type { CallKind, SessionEvent } from "../../session/protocol.ts";
import type { WireError } from "../../wire-error.ts";
import type { Body, PartMessage } from "./parts.ts";

/** In the names of channels and locks: tabs that still run another version of this protocol do not meet. */
const TAB_PROTOCOL = 2;

export const names = {
  /** Whoever holds it leads. */
  leader: (storage: string) => `pagefold-leader-${TAB_PROTOCOL}-${storage}`,
  /** Held by a tab for as long as it takes part. */
  life: (tab: string) => `pagefold-tab-${tab}`,
  publicChannel: (storage: string) => `pagefold-tabs-${TAB_PROTOCOL}-${storage}`,
  channelOf: (tab: string) => `pagefold-tab-${tab}`,
};

/** What a tab's own session is opened with, as far as it is data and not the leader's to decide. */
export type TabRequest = Pick<
  ConnectOptions,
  "lsn" | "time" | "readOnly" | "create" | "tempBytes" | "busyTimeoutMs"
>;

export interface Cost {
  readonly requests: number;
  readonly bytesFetched: number;
}

export type PublicMessage =
  /** A tab leads from now on. */
  | { readonly kind: "leading" }
  /** A tab wants to be served; said again until somebody answers. */
  | { readonly kind: "join"; readonly tab: string };

export type ToLeader =
  | {
      readonly kind: "open";
      readonly name: string;
      readonly request: TabRequest;
      readonly events: readonly SessionEvent["name"][];
    }
  | { readonly kind: "call"; readonly id: number; readonly call: CallKind; readonly body: Body }
  | { readonly kind: "abort"; readonly id: number }
  | { readonly kind: "listen"; readonly events: readonly SessionEvent["name"][] }
  | { readonly kind: "ping" }
  | { readonly kind: "bye" }
  | PartMessage;

export type ToFollower =
  /** The answer to `join`, from the tab with this id. */
  | { readonly kind: "hello"; readonly leader: string }
  | { readonly kind: "opened"; readonly cost: Cost }
  | { readonly kind: "refused"; readonly error: WireError }
  /** The leader keeps everything in memory, which is not worth sharing: every tab is on its own. */
  | { readonly kind: "alone" }
  | { readonly kind: "reply"; readonly id: number; readonly body: Body; readonly cost: Cost }
  | { readonly kind: "failed"; readonly id: number; readonly error: WireError; readonly cost: Cost }
  /** The call was not begun, and will not be. */
  | { readonly kind: "not-run"; readonly id: number }
  | { readonly kind: "happened"; readonly event: SessionEvent }
  | { readonly kind: "pong" }
  /** This tab will lead no more: what is under way is finished, nothing new is begun. */
  | { readonly kind: "ending" }
  /** It leads no more. */
  | { readonly kind: "ended" }
  | PartMessage;

/** A channel with one type of message each way. */
export class Channel<In, Out> {
  readonly #channel: BroadcastChannel;

  constructor(name: string, onMessage: (message: In) => void) {
    this.#channel = new BroadcastChannel(name);
    this.#channel.addEventListener("message", ({ data }: MessageEvent<In>) => onMessage(data));
  }

  post(message: Out): void {
    this.#channel.postMessage(message);
  }

  close(): void {
    this.#channel.close();
  }
}
