import { InvalidArgumentError } from "commander";
import { isPagefoldError } from "../../../src/base/errors.ts";
import { type Grant, grantText, parseGrantText } from "../../http/ops/grants.ts";
import type { SigningKey } from "../../http/ops/mint.ts";
import { parseDuration } from "../../http/ops/quantities.ts";
import { readGiven } from "../../http/ops/read-given.ts";
import { usageError } from "../errors.ts";
import { defined, nonEmpty } from "../options.ts";
import type { Verb } from "../verb.ts";

const helpText = `
  pagefold token --right read:shop --secret-file ./secret --expires 1h
  pagefold token --right write:shop-* --right read:* --key-file ./key.pem --expires 7d --subject alice

A right is read:, write: (includes read) or admin: (includes both), then a tag,
a volume id, a prefix of tags such as shop-*, or * for everything. The server
that accepts the token is started with the same secret (--jwt-secret-file), or
with the public half of the key (--jwt-key). The token goes to stdout; whoever
has it has its rights until it expires.`;

interface TokenOptions {
  readonly right: Grant[];
  readonly expires: number;
  readonly secretFile?: string;
  readonly keyFile?: string;
  readonly subject?: string;
  readonly audience?: string[];
  readonly issuer?: string;
  readonly json?: true;
  readonly quiet?: true;
}

/** `pagefold token`: signs a token for `pagefold serve`. */
export const tokenVerb: Verb = (program, run) => {
  program
    .command("token")
    .description("make a token for pagefold serve")
    .requiredOption("--right <right:name...>", "what the holder may do; may be given several times", addRight)
    .requiredOption("--expires <time>", "how long it holds, e.g. 15m, 1h, 7d", expiry)
    .option("--secret-file <file>", "file with the shared secret (default: PAGEFOLD_JWT_SECRET)", nonEmpty)
    .option("--key-file <file>", "private key, PEM or JWK: RSA, EC or Ed25519", nonEmpty)
    .option("--subject <name>", "who the holder is, for the server's log", nonEmpty)
    .option("--audience <name...>", "the server it is meant for")
    .option("--issuer <name>", "who made it", nonEmpty)
    .option("--json", "one JSON document on stdout; errors as JSON on stderr")
    .option("--quiet", "nothing on stderr but errors")
    .addHelpText("after", helpText)
    .action((options: TokenOptions) =>
      run(options, async () => {
        // Loaded here: the other verbs need no cryptography.
        const { mintToken } = await import("../../http/ops/mint.ts");
        const { right: grants, expires: expiresInMs, subject, audience, issuer } = options;
        const signing = await signingKey(options);
        const claims = { grants, expiresInMs, ...defined({ subject, audience, issuer }) };
        const { token, expiresAt } = await mintToken(signing, claims);
        const rights = grants.map(grantText);
        return {
          json: { token, rights, algorithm: signing.algorithm, expiresAt },
          text: token,
          talk: `${rights.join(", ")} until ${expiresAt.toISOString()}`,
        };
      }),
    );
};

async function signingKey({ secretFile, keyFile }: TokenOptions): Promise<SigningKey> {
  if (secretFile !== undefined && keyFile !== undefined) {
    throw usageError("--secret-file and --key-file exclude one another: a token has one signature");
  }
  const { privateSigningKey, secretSigningKey } = await import("../../http/ops/mint.ts");
  const { secretBytes } = await import("../../http/ops/token-keys.ts");
  if (keyFile !== undefined) return privateSigningKey((await readGiven(keyFile)).toString("utf8"), keyFile);
  if (secretFile !== undefined) return secretSigningKey(secretBytes(await readGiven(secretFile)), secretFile);
  const secret = process.env.PAGEFOLD_JWT_SECRET ?? "";
  if (secret !== "") return secretSigningKey(new TextEncoder().encode(secret), "PAGEFOLD_JWT_SECRET");
  throw usageError(
    "a token needs a key: give --secret-file, --key-file, or PAGEFOLD_JWT_SECRET in the environment",
  );
}

function addRight(text: string, before: Grant[] = []): Grant[] {
  return [...before, argument(() => parseGrantText(text))];
}

function expiry(text: string): number {
  const ms = argument(() => parseDuration(text, "s"));
  if (ms < 1000) throw new InvalidArgumentError("Give a second or more.");
  return ms;
}

/** What a parser refuses is a mistake in the arguments. */
function argument<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (isPagefoldError(error, "invalid")) throw new InvalidArgumentError(error.message);
    throw error;
  }
}
