/** The engine's own store over HTTP, against the object spaces of `site.ts`. */
import { HttpObjectStore } from "../../src/remote/http/http-object-store.ts";

export class HttpStore extends HttpObjectStore {
  /** @param url the space: `site.objectsUrl()` */
  constructor(url: string) {
    super(url, { kind: "server" });
  }
}
