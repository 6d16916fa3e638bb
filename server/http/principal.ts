/**
 * Who asks, and what they may do. The routes know nothing of tokens: whoever runs the server hands in `Authenticate`; without one everybody
 * may do everything. Rights are asked for a volume with the tags that name it, or for a tag that names nothing yet.
 */

/** `write` includes `read`, `admin` both; it is the principal's business to say so. */
export type Right = "read" | "write" | "admin";

/** A volume and the tags that name it, or a tag alone. */
export interface Subject {
  readonly volume?: string;
  readonly tags: readonly string[];
}

export interface Principal {
  /** For logs: never a secret. */
  readonly name: string;
  /** When the rights end, milliseconds since 1970: long answers end with them. */
  readonly expiresAt?: number;
  /** It showed no token: whatever it is answered, anybody would be, so that shared caches may keep it. */
  readonly anonymous?: boolean;
  /** May make new volumes, which are anybody's until a tag or a commit makes them somebody's. Default: whoever has `admin` on a volume that nothing names. */
  readonly creates?: boolean;
  /** Must be cheap and synchronous: it is asked for every request, and for every line of a listing. */
  may(right: Right, subject: Subject): boolean;
}

/** @throws PagefoldError `unauthorized` for a token that does not verify */
export type Authenticate = (request: Request) => Promise<Principal>;

/** What anonymous callers are when no authentication was set up. */
export const everybody: Principal = { name: "everybody", anonymous: true, may: () => true };
