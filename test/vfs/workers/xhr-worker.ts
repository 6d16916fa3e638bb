/** The SQL worker of Node with an XMLHttpRequest, which reads files: so the bridge of synchronous requests runs without a browser. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parentPort } from "node:worker_threads";
import type { SyncRequest } from "../../../vfs/bridge/sync-xhr.ts";
import type { WorkerSetup } from "../../../vfs/worker/messages.ts";
import { openEngine } from "../../../vfs/worker/open-engine.ts";
import { serveSession } from "../../../vfs/worker/serve-session.ts";

class FileRequest implements SyncRequest {
  responseType = "";
  status = 0;
  response: unknown;
  readonly #headers = new Map<string, string>();
  #path = "";

  open(_method: string, url: string, asynchronous: boolean): void {
    if (asynchronous) throw new TypeError("nobody could wait for this");
    this.#path = fileURLToPath(url);
  }

  setRequestHeader(name: string, value: string): void {
    this.#headers.set(name, value);
  }

  send(): void {
    if (existsSync(this.#headers.get("x-down-marker") ?? "")) throw new Error("the cable was cut");
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(this.#path);
    } catch {
      this.status = 404;
      return;
    }
    const [, from = "", to = ""] = /^bytes=(\d+)-(\d+)$/.exec(this.#headers.get("range") ?? "") ?? [];
    if (Number(from) >= bytes.length) {
      this.status = 416;
      return;
    }
    this.status = 206;
    this.response = new Uint8Array(bytes.subarray(Number(from), Number(to) + 1)).buffer;
  }
}

Object.assign(globalThis, { XMLHttpRequest: FileRequest });
parentPort?.once("message", (setup: WorkerSetup) => serveSession(setup, openEngine));
