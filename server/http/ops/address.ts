/** Where a request comes from: the peer of the socket, or what trusted proxies in front say of it; and which addresses are this machine. */
import type { IncomingMessage } from "node:http";
import { isIPv6 } from "node:net";

/**
 * The address of the client. Each of the last `trustedProxies` entries of `X-Forwarded-For` was written by a proxy of ours; what stands
 * before them the client may have invented.
 */
export function clientAddress(incoming: IncomingMessage, trustedProxies: number): string {
  const peer = incoming.socket.remoteAddress ?? "unknown";
  if (trustedProxies === 0) return plain(peer);
  const header = incoming.headers["x-forwarded-for"];
  const forwarded = (Array.isArray(header) ? header.join(",") : (header ?? ""))
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  return plain(forwarded.at(-Math.min(trustedProxies, forwarded.length)) ?? peer).slice(0, 64);
}

/** What requests of one household are counted by: an IPv4 address, the first half of an IPv6 one. */
export function addressGroup(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const behind = tail === "" ? [] : tail.split(":");
    while (groups.length + behind.length < 8) groups.push("0");
    groups.push(...behind);
  }
  return `${groups.slice(0, 4).join(":")}::/64`;
}

/** Whether a name or address that a server listens on, or was asked by, can only mean this machine. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}

function plain(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
