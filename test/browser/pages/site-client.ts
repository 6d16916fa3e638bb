/** How code in a page or a worker finds the object spaces of the site that served it. */
import { HttpStore } from "../http-store.ts";

/** A store on one of the site's spaces. */
export function siteStore(space = "main"): HttpStore {
  return new HttpStore(`${location.origin}/objects/${space}/`);
}

/** The name of a space that nobody used. */
export function freshSpace(): string {
  return crypto.randomUUID();
}
