/**
 * `pagefold/server`: a store over HTTP. `createServer` is a fetch handler over any ObjectStore, for any runtime with Request and Response; `startServer` is the same in operation on
 * Node, as `pagefold serve` runs it: sockets, tokens, limits, logs, metrics.
 */
export { Authenticator, type AuthenticatorOptions, type Identity } from "./http/ops/auth.ts";
export { gatherSettings, secretsOf } from "./http/ops/config.ts";
export type { Grant } from "./http/ops/grants.ts";
export { type RunningServer, type StartComponents, startServer } from "./http/ops/index.ts";
export { mintToken, privateSigningKey, secretSigningKey } from "./http/ops/mint.ts";
export { openApiDocument } from "./http/ops/openapi.ts";
export type { GivenSettings } from "./http/ops/settings.ts";
export {
  type KeySource,
  keySetSource,
  publicKeySources,
  secretSource,
} from "./http/ops/token-keys.ts";
export type { Authenticate, Principal, Right, Subject } from "./http/principal.ts";
export { createServer, type PagefoldServer, type ServerFigures, type ServerOptions } from "./http/server.ts";
export { defaultServerSettings, type ServerSettings } from "./http/settings.ts";
