/** What follows a session's volume: each move is handed out when it is asked for. Ended with the session, or by whoever began it. */
import { PagefoldError } from "../../src/base/errors.ts";
import type { Volume } from "../../src/store/volume.ts";
import type { FollowReply } from "./protocol.ts";

type Moves = ReturnType<Volume["follow"]>;

interface Follower {
  readonly moves: Moves;
  readonly controller: AbortController;
}

export class Followers {
  readonly #followers = new Map<number, Follower>();
  #nextId = 1;

  open(volume: Volume, pollMs: number | undefined): number {
    const controller = new AbortController();
    const { signal } = controller;
    const id = this.#nextId++;
    const moves = volume.follow({ signal, ...(pollMs === undefined ? {} : { pollMs }) });
    this.#followers.set(id, { moves, controller });
    return id;
  }

  async next(id: number): Promise<FollowReply> {
    const follower = this.#followers.get(id);
    if (follower === undefined)
      throw new PagefoldError("closed", "this following was ended; begin it again to go on");
    const { done, value } = await follower.moves.next();
    if (done === true) return { done: true };
    return { done: false, from: value.from, lsn: value.to, changedPages: value.changedPages };
  }

  close(id: number): void {
    this.#followers.get(id)?.controller.abort();
    this.#followers.delete(id);
  }

  closeAll(): void {
    for (const id of [...this.#followers.keys()]) this.close(id);
  }
}
