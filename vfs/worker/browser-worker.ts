/** Entry point of the SQL worker in a browser: waits for its setup, then serves a session. */
import { openBrowserEngine } from "./browser-engine.ts";
import { holdLifeLock } from "./life-lock.ts";
import type { LifeMessage, WorkerSetup } from "./messages.ts";
import { serveSession } from "./serve-session.ts";

const scope = globalThis as unknown as {
  postMessage(message: unknown): void;
  addEventListener(
    type: "message",
    listener: (event: MessageEvent<WorkerSetup>) => void,
    options: object,
  ): void;
};
scope.addEventListener("message", ({ data }) => serveSession(data, openBrowserEngine), { once: true });
holdLifeLock((name) => scope.postMessage({ lifeLock: name } satisfies LifeMessage));
