/**
 * Notices to other servers of the same store that a volume has a new commit, so that their subscribers need not wait for a poll. Best effort: what
 * does not arrive, the poll finds.
 */
import type { Recorder } from "../../../src/base/recorder.ts";
import type { Runtime } from "../../../src/base/runtime.ts";

export interface Peer {
  /** Address of the other server, as its clients write it. */
  readonly url: string;
  /** Value of the `Authorization` header, or where to get it. */
  readonly authorization?: string | (() => string | Promise<string>);
}

export interface PeerParts {
  readonly peers: readonly Peer[];
  readonly runtime: Runtime;
  readonly recorder: Recorder;
  /** Default: the runtime's own. */
  readonly fetch?: typeof fetch;
}

const ATTEMPTS = 3;
const FIRST_PAUSE_MS = 200;
const TIMEOUT_MS = 5000;

export class Peers {
  readonly #parts: PeerParts;
  /** What each peer is still to be told: only the newest of a volume counts. */
  readonly #queues: readonly { readonly peer: Peer; readonly news: Map<string, number>; sending: boolean }[];
  readonly #end = new AbortController();

  constructor(parts: PeerParts) {
    this.#parts = parts;
    this.#queues = parts.peers.map((peer) => ({ peer, news: new Map(), sending: false }));
  }

  notify(volume: string, lsn: number): void {
    for (const queue of this.#queues) {
      queue.news.set(volume, Math.max(lsn, queue.news.get(volume) ?? 0));
      if (!queue.sending) void this.#send(queue);
    }
  }

  close(): void {
    this.#end.abort();
  }

  async #send(queue: {
    readonly peer: Peer;
    readonly news: Map<string, number>;
    sending: boolean;
  }): Promise<void> {
    queue.sending = true;
    for (const [volume, lsn] of queue.news) {
      if (this.#end.signal.aborted) break;
      queue.news.delete(volume);
      await this.#tell(queue.peer, JSON.stringify({ volume, lsn }));
    }
    queue.sending = false;
  }

  async #tell({ url, authorization }: Peer, body: string): Promise<void> {
    const { runtime, recorder } = this.#parts;
    const request = this.#parts.fetch ?? fetch;
    for (let attempt = 1; attempt <= ATTEMPTS && !this.#end.signal.aborted; attempt++) {
      const patience = new AbortController();
      try {
        const token = typeof authorization === "function" ? await authorization() : authorization;
        const answer = request(`${url.replace(/\/+$/, "")}/v1/notice`, {
          method: "POST",
          headers: {
            "content-type": "application/json",
            ...(token === undefined ? {} : { authorization: token }),
          },
          body,
          signal: AbortSignal.any([this.#end.signal, patience.signal]),
        });
        const late = runtime.sleep(TIMEOUT_MS, patience.signal).then(() => patience.abort());
        late.catch(() => {});
        const response = await answer;
        await response.body?.cancel();
        if (response.status < 300) return recorder.count("server.notices.sent");
        // It will say no again.
        if (response.status < 500) break;
      } catch {
        // Tried again, and counted when that does not help either.
      } finally {
        patience.abort();
      }
      await runtime.sleep(FIRST_PAUSE_MS * 4 ** (attempt - 1), this.#end.signal).catch(() => {});
    }
    recorder.count("server.notices.failed");
  }
}
