import type { SigningKeyRing } from "./signing-key-ring.ts";

/** What an HTTP GET is answered with. */
export interface HttpAnswer {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Far less than a key's lead time, so that no cache is asked about a key that it has not heard of. */
const maxAgeSeconds = 300;

/** The JSON Web Key Set (RFC 7517) of `/.well-known/jwks.json`: the public halves of all keys that are good. */
export function answerJwks(keys: Pick<SigningKeyRing, "published">): HttpAnswer {
  return {
    headers: {
      "content-type": "application/json",
      "cache-control": `public, max-age=${maxAgeSeconds}`,
    },
    body: JSON.stringify({ keys: keys.published() }),
  };
}
