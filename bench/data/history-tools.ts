/** What the rows of history take from the sources beside the built package: the generator of long logs, and the formats that they look into. */
export { pathDown } from "../../src/format/jumps.ts";
export { encodeRollup } from "../../src/format/rollup-codec.ts";
export { CountedStore } from "../../test/history/counted-store.ts";
export { LogPrefix } from "../../test/history/log-prefix.ts";
export { alikePages, LongLog, mixedPages } from "../../test/history/long-log.ts";
export { unreadVolume } from "../../test/history/unread-volume.ts";
