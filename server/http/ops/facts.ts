/** What a server says of itself when it starts: what it serves, where, to whom, and what to expect of it; one line each. */
import type { OpsSettings } from "./settings.ts";

export interface ServerFacts {
  readonly url: string;
  readonly store: string;
  readonly version: string;
  /** Who may do what. */
  readonly access: readonly string[];
}

export function describeServer(settings: OpsSettings, facts: ServerFacts): string[] {
  const { cacheDir, cacheDisk, cacheMemory, cors, rateLimit, basePath, metrics } = settings;
  const disk = cacheDir === undefined ? "" : `, ${sizeText(cacheDisk)} in ${cacheDir}`;
  return [
    `${facts.version} serves ${facts.store}`,
    `address: ${facts.url}${basePath}`,
    ...facts.access,
    `cache: ${sizeText(cacheMemory)} in memory${disk}`,
    `commits of others: ${othersText(settings)}`,
    ...(cors === undefined ? [] : [`cors: pages of ${cors.includes("*") ? "any origin" : cors.join(", ")}`]),
    ...(rateLimit === 0 ? [] : [`rate: ${rateLimit} requests per second and caller`]),
    ...(metrics === "off"
      ? []
      : [`metrics: ${facts.url}${basePath}/metrics, ${metrics === "open" ? "for anybody" : "for admins"}`]),
  ];
}

function othersText({ poll, peer = [] }: OpsSettings): string {
  const told =
    peer.length === 0
      ? ""
      : `; ${peer.join(", ")} ${peer.length === 1 ? "is" : "are"} told of those made here`;
  if (poll === 0) return `not looked for (--poll), notices of peers are heard${told}`;
  return `found within ${poll >= 1000 ? `${poll / 1000} s` : `${poll} ms`}${told}`;
}

/** 268435456 → "256 MB"; units of 1024. */
export function sizeText(bytes: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toFixed(1))} ${units[unit]}`;
}
