/** Tokens of tests: the grants themselves, as JSON, believed as they are. */
import type { Authenticate, Principal, Right, Subject } from "../../server/http/principal.ts";
import { PagefoldError } from "../../src/base/errors.ts";

export interface Grant {
  readonly right: Right;
  readonly volume?: string;
  readonly tag?: string;
  readonly prefix?: string;
}

const RANK: Readonly<Record<Right, number>> = { read: 0, write: 1, admin: 2 };

export function holder(name: string, grants: readonly Grant[]): Principal {
  const fits = (grant: Grant, subject: Subject) =>
    (grant.volume !== undefined && grant.volume === subject.volume) ||
    (grant.tag !== undefined && subject.tags.includes(grant.tag)) ||
    (grant.prefix !== undefined &&
      (grant.prefix === "" || subject.tags.some((tag) => tag.startsWith(grant.prefix!))));
  return {
    name,
    may: (right, subject) => grants.some((grant) => RANK[grant.right] >= RANK[right] && fits(grant, subject)),
  };
}

/** The bearer's grants are the token itself, as JSON. */
export const authenticate: Authenticate = async (request) => {
  const token = request.headers.get("authorization");
  if (token === null) return holder("anonymous", []);
  if (!token.startsWith("[")) throw new PagefoldError("unauthorized", "the token does not verify");
  return holder("holder", JSON.parse(token) as Grant[]);
};

export const bearing = (...grants: Grant[]) => ({ authorization: JSON.stringify(grants) });
export const EVERYTHING = bearing({ right: "admin", prefix: "" });
