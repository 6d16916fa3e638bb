/** Which requests of a session concern its volume and no SQL; what answers them is in `volume-calls.ts`. */
import type { CallKind } from "./protocol.ts";

const KINDS = [
  "fetch",
  "pull",
  "push",
  "reset",
  "fork",
  "hydrate",
  "verify",
  "compact",
  "restore",
  "log",
  "diff",
] as const;

export type VolumeCallKind = (typeof KINDS)[number];

export function isVolumeCall(kind: CallKind): kind is VolumeCallKind {
  return (KINDS as readonly CallKind[]).includes(kind);
}
