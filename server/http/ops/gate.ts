/** The way from a request to who makes it: the token is verified, the caller's bucket is charged, and the log learns the name. */
import { isPagefoldError } from "../../../src/base/errors.ts";
import type { Authenticate } from "../principal.ts";
import { HttpError } from "../problem.ts";
import { addressGroup } from "./address.ts";
import type { Authenticator } from "./auth.ts";
import type { Metrics } from "./metrics.ts";
import type { RateLimiter } from "./rate-limit.ts";
import { recordOf } from "./request-record.ts";

export interface GateParts {
  readonly authenticator: Authenticator;
  readonly charge: (caller: string) => void;
  readonly metrics: Metrics;
}

/** For `createServer`: as the authenticator's own, with the rate limited by account, or by address where there is none. */
export function gate({ authenticator, charge, metrics }: GateParts): Authenticate {
  return async (request) => {
    const record = recordOf(request);
    const address = addressGroup(record?.address ?? "unknown");
    try {
      const identity = await authenticator.identify(request.headers.get("authorization"));
      if (record !== undefined) record.principal = identity;
      charge(identity.account ?? address);
      return identity;
    } catch (error) {
      if (isPagefoldError(error, "unauthorized")) {
        metrics.rejected("token");
        // Whoever tries tokens is slowed down like anybody else.
        charge(address);
      }
      throw error;
    }
  };
}

/** Takes one request from a caller's bucket. @throws 429 where it is empty */
export function charging(limiter: RateLimiter | undefined, metrics: Metrics): (caller: string) => void {
  return (caller) => {
    const waitMs = limiter?.take(caller) ?? 0;
    if (waitMs === 0) return;
    metrics.rejected("rate");
    throw new HttpError(429, "unavailable", "too many requests; Retry-After says when to come back", {
      headers: { "retry-after": String(Math.max(1, Math.ceil(waitMs / 1000))) },
    });
  };
}
