/**
 * What a caller may do, as data: grants of a right on a volume, a tag, or all tags with a prefix. They come from the claim `pagefold` of a
 * token (docs/protocol.md, "Authorization"), from `--public`, and from `pagefold token --right`.
 */
import { PagefoldError } from "../../../src/base/errors.ts";
import { parseVolumeId } from "../../../src/format/ids.ts";
import { checkTagName } from "../../../src/format/keys.ts";
import type { Right, Subject } from "../principal.ts";

/** One entry of the claim `pagefold`: a right, and exactly one of volume, tag and prefix (of tags; `""` is everything). */
export type Grant = { readonly right: Right } & (
  | { readonly volume: string }
  | { readonly tag: string }
  | { readonly prefix: string }
);

const RANK: Readonly<Record<Right, number>> = { read: 1, write: 2, admin: 3 };

/** Grants arranged so that asking costs a few map look-ups, however many there are. */
export class Grants {
  readonly #volumes = new Map<string, number>();
  readonly #tags = new Map<string, number>();
  readonly #prefixes: [prefix: string, rank: number][] = [];
  #everything = 0;
  /** Whoever has a name to give may make a volume to give it to. */
  readonly creates: boolean;

  constructor(grants: readonly Grant[]) {
    this.creates = grants.some((grant) => grant.right === "admin" && !("volume" in grant));
    const raise = (map: Map<string, number>, key: string, rank: number): void => {
      map.set(key, Math.max(map.get(key) ?? 0, rank));
    };
    for (const grant of grants) {
      const rank = RANK[grant.right];
      if ("volume" in grant) raise(this.#volumes, grant.volume, rank);
      else if ("tag" in grant) raise(this.#tags, grant.tag, rank);
      else if (grant.prefix === "") this.#everything = Math.max(this.#everything, rank);
      else this.#prefixes.push([grant.prefix, rank]);
    }
  }

  may(right: Right, subject: Subject): boolean {
    const wanted = RANK[right];
    if (this.#everything >= wanted) return true;
    if (subject.volume !== undefined && (this.#volumes.get(subject.volume) ?? 0) >= wanted) return true;
    return subject.tags.some(
      (tag) =>
        (this.#tags.get(tag) ?? 0) >= wanted ||
        this.#prefixes.some(([prefix, rank]) => rank >= wanted && tag.startsWith(prefix)),
    );
  }
}

/** The grants in a claim, or why it is none: for the 401, so nothing of the claim itself is in it. */
export function parseClaim(claim: unknown): readonly Grant[] | string {
  if (claim === undefined) return "it has no claim pagefold";
  if (!Array.isArray(claim)) return "its claim pagefold is no list";
  const grants: Grant[] = [];
  for (const [index, entry] of claim.entries()) {
    const grant = parseGrant(entry);
    if (typeof grant === "string") return `entry ${index + 1} of its claim pagefold ${grant}`;
    grants.push(grant);
  }
  return grants;
}

function parseGrant(entry: unknown): Grant | string {
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) return "is no object";
  const { right, ...scope } = entry as Record<string, unknown>;
  if (right !== "read" && right !== "write" && right !== "admin")
    return 'has no right that is "read", "write" or "admin"';
  const [[kind, value] = [], more] = Object.entries(scope);
  // An entry that says more than is understood might mean less than what is understood.
  if (more !== undefined || typeof value !== "string") return oneScope;
  switch (kind) {
    case "volume": {
      const volume = parseVolumeId(value);
      return volume === undefined ? "names a volume by what is no volume id" : { right, volume };
    }
    case "tag":
      return value === "" ? "names an empty tag" : { right, tag: value };
    case "prefix":
      return { right, prefix: value };
    default:
      return oneScope;
  }
}

const oneScope = "must have exactly one of volume, tag and prefix, a string, and nothing else";

/** `TAG`, a volume id, or `PREFIX*` (`*` is everything) as the grant that a person means by it. @throws `invalid` */
export function grantFor(right: Right, text: string): Grant {
  if (text.endsWith("*")) {
    const prefix = text.slice(0, -1);
    if (/^[A-Za-z0-9._-]*$/.test(prefix)) return { right, prefix };
    throw new PagefoldError("invalid", `"${text}" is no prefix of tags; write for example shop-* or *`);
  }
  const volume = parseVolumeId(text);
  return volume === undefined ? { right, tag: checkTagName(text) } : { right, volume };
}

/** `read:shop`, `write:shop-*`, `admin:*`. @throws `invalid` */
export function parseGrantText(text: string): Grant {
  const [, right, scope = ""] = /^(read|write|admin):(.+)$/.exec(text) ?? [];
  if (right === undefined) {
    throw new PagefoldError(
      "invalid",
      `"${text}" is no right; write read:, write: or admin: and then a tag, a volume id, a prefix such as shop-*, or *`,
    );
  }
  return grantFor(right as Right, scope);
}

/** What `parseGrantText` reads. */
export function grantText(grant: Grant): string {
  if ("volume" in grant) return `${grant.right}:${grant.volume}`;
  return `${grant.right}:${"tag" in grant ? grant.tag : `${grant.prefix}*`}`;
}
