import assert from "node:assert/strict";
import { createPublicKey, randomUUID } from "node:crypto";
import { describe, type TestContext, test } from "node:test";
import fc from "fast-check";
import {
  decodeJwt,
  decodeProtectedHeader,
  generateKeyPair,
  type JWTPayload,
  SignJWT,
  UnsecuredJWT,
} from "jose";
import type { SigningKey } from "../src/auth/signing-key-ring.ts";
import { backends } from "./support/databases.ts";
import { useDatabase } from "./support/shared-database.ts";
import {
  createTestAccount,
  openTokenSystem,
  type TokenSystem,
  tokenSettings,
} from "./support/token-system.ts";

/** TEST_SCALE=10 tries ten times as many. */
const numRuns = 300 * Number(process.env["TEST_SCALE"] ?? 1);

interface Issued {
  readonly system: TokenSystem;
  readonly token: string;
  readonly claims: JWTPayload;
  readonly signer: SigningKey;
}

/** Signs claims with a key of our own choice, as an attacker or a careless colleague might. */
function forge(claims: JWTPayload, { kid, privateKey }: SigningKey, header: object = {}): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "EdDSA", kid, typ: "JWT", ...header })
    .sign(privateKey);
}

for (const backend of backends.filter(({ name }) => name === "embedded")) {
  describe("an access token", () => {
    const shared = useDatabase(backend);

    async function issue(t: TestContext): Promise<Issued> {
      const system = await openTokenSystem(t, await shared.renew());
      const account = await createTestAccount(system.accounts);
      const { accessToken: token } = await system.tokens.issue(account);
      return { system, token, claims: decodeJwt(token), signer: system.keys.signer() };
    }

    async function assertInvalid({ system }: Issued, text: string): Promise<void> {
      assert.deepEqual(await system.tokens.validate(text), { isValid: false }, text);
    }

    test("has the contract's header and claims, and is good", async (t) => {
      const { system, token, claims, signer } = await issue(t);
      const { iat = 0, exp, jti, sub = "", ...others } = claims;
      assert.deepEqual(decodeProtectedHeader(token), { alg: "EdDSA", kid: signer.kid, typ: "JWT" });
      const { issuer: iss, audience: aud } = tokenSettings;
      assert.deepEqual(others, { iss, aud, type: "access", epoch: 0 });
      assert.equal(exp, iat + 3_600);
      assert.match(jti ?? "", /^[0-9a-f-]{36}$/);
      assert.deepEqual(await system.tokens.validate(token), {
        isValid: true,
        userId: sub,
        isActive: true,
        isSuperuser: false,
        expiresAt: BigInt(iat + 3_600),
      });
    });

    test("is invalid with any one character altered, removed or added", async (t) => {
      const issued = await issue(t);
      const { token } = issued;
      // The good token is in the cache by now, as it would be.
      assert.ok((await issued.system.tokens.validate(token)).isValid);
      const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
      const characters = fc.oneof(fc.constantFrom(...digits, ".", "=", "+", "/", " ", "\n"), fc.string());
      const places = fc.integer({ min: 0, max: token.length - 1 });
      const altered = fc
        .tuple(places, fc.integer({ min: 0, max: 1 }), characters)
        .map(([at, removed, text]) => token.slice(0, at) + text + token.slice(at + removed))
        .filter((text) => text !== token);
      await fc.assert(
        fc.asyncProperty(altered, (text) => assertInvalid(issued, text)),
        { numRuns: 3 * numRuns },
      );
      for (const digit of digits) {
        const text = token.slice(0, -1) + digit;
        if (text !== token) await assertInvalid(issued, text);
      }
      for (let kept = 0; kept < token.length; kept += 7) await assertInvalid(issued, token.slice(0, kept));
    });

    test("is invalid where it is any other text, and nothing is thrown", async (t) => {
      const issued = await issue(t);
      const part = fc.oneof(
        fc.base64String(),
        fc.json().map((text) => Buffer.from(text).toString("base64url")),
        fc
          .record({ alg: fc.constant("EdDSA"), kid: fc.constant(issued.signer.kid), crit: fc.anything() })
          .map((header) => {
            return Buffer.from(JSON.stringify(header) ?? "").toString("base64url");
          }),
      );
      const signature = fc.uint8Array({ minLength: 64, maxLength: 64 }).map((bytes) => {
        return Buffer.from(bytes).toString("base64url");
      });
      const texts = fc.oneof(
        fc.string({ unit: "binary" }),
        fc.tuple(part, part, signature).map((parts) => parts.join(".")),
        fc.array(part, { maxLength: 5 }).map((parts) => parts.join(".")),
        fc.constant("a".repeat(100_000)),
      );
      await fc.assert(
        fc.asyncProperty(texts, (text) => assertInvalid(issued, text)),
        { numRuns },
      );
    });

    test("is invalid with any claim altered and signed by another key that claims to be ours", async (t) => {
      const issued = await issue(t);
      const { privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
      const others = fc.constantFrom(...Object.keys(issued.claims));
      await fc.assert(
        fc.asyncProperty(others, fc.jsonValue(), async (name, value) => {
          const claims = { ...issued.claims, [name]: value };
          await assertInvalid(issued, await forge(claims, { kid: issued.signer.kid, privateKey }));
          await assertInvalid(issued, await forge(claims, { kid: randomUUID(), privateKey }));
        }),
        { numRuns: numRuns / 3 },
      );
    });

    test("is invalid with a claim that is missing or wrong, even where the signature is ours", async (t) => {
      const issued = await issue(t);
      const { claims, signer, system } = issued;
      assert.ok(
        (await system.tokens.validate(await forge(claims, signer))).isValid,
        "the forger does it wrong",
      );
      const { iat = 0 } = claims;
      const wrong: Readonly<Record<string, readonly unknown[]>> = {
        iss: ["https://users.example.org", "", ["https://users.example.com"], 1],
        aud: ["other", [], ["example"], ["example", "other"], null],
        sub: ["", "nightly-report", randomUUID(), claims.sub?.toUpperCase(), 1],
        iat: [iat + 3_000, -1, iat + 0.5, "now", null],
        exp: [iat - 1, iat, 0, -1, "never", null, Number.MAX_VALUE],
        jti: ["", "1", 1, null],
        type: ["service", "refresh", "", 1, null],
        epoch: [1, -1, 0.5, "0", null],
        nbf: [iat + 3_000, "now"],
      };
      for (const [name, values] of Object.entries(wrong)) {
        for (const value of values) {
          await assertInvalid(issued, await forge({ ...claims, [name]: value } as JWTPayload, signer));
        }
        const { [name]: _, ...rest } = claims;
        if (name in claims) await assertInvalid(issued, await forge(rest, signer));
      }
    });

    test("is invalid unsigned, or signed in any other way", async (t) => {
      const issued = await issue(t);
      const { claims, signer, system, token } = issued;
      await assertInvalid(issued, new UnsecuredJWT(claims).encode());
      const [, payload, signature] = token.split(".");
      const unsigned = Buffer.from(JSON.stringify({ alg: "none", kid: signer.kid, typ: "JWT" }));
      await assertInvalid(issued, `${unsigned.toString("base64url")}.${payload}.`);
      await assertInvalid(issued, `${unsigned.toString("base64url")}.${payload}.${signature}`);

      const jwk = system.keys.published()[0];
      assert.ok(jwk);
      const publicKey = createPublicKey({ key: { ...jwk }, format: "jwk" });
      const secrets = [
        Buffer.from(jwk.x, "base64url"),
        Buffer.from(jwk.x),
        Buffer.from(JSON.stringify(jwk)),
        Buffer.from(publicKey.export({ type: "spki", format: "pem" })),
        publicKey.export({ type: "spki", format: "der" }),
      ];
      for (const secret of secrets) {
        const header = { alg: "HS256", kid: signer.kid, typ: "JWT" };
        await assertInvalid(issued, await new SignJWT(claims).setProtectedHeader(header).sign(secret));
      }
      const { privateKey } = await generateKeyPair("ES256");
      await assertInvalid(issued, await forge(claims, { ...signer, privateKey }, { alg: "ES256" }));
    });

    test("is invalid with another header, even where the signature is ours", async (t) => {
      const issued = await issue(t);
      const { claims, signer } = issued;
      for (const header of [{ typ: "at+jwt" }, { typ: undefined }, { alg: "Ed25519" }, { kid: undefined }]) {
        await assertInvalid(issued, await forge(claims, signer, header));
      }
    });

    test("is invalid where it is a machine's", async (t) => {
      const issued = await issue(t);
      const token = await issued.system.accessTokens.issueForService("nightly-report");
      const { type, sub, iat = 0, exp } = decodeJwt(token);
      assert.deepEqual({ type, sub, exp }, { type: "service", sub: "nightly-report", exp: iat + 3_600 });
      await assertInvalid(issued, token);
    });

    test("is invalid from the second on in which it expires, also where it has been good before", async (t) => {
      const clock = { ms: Date.now() };
      const system = await openTokenSystem(t, await shared.renew(), { clock });
      const { accessToken } = await system.tokens.issue(await createTestAccount(system.accounts));
      const { exp = 0 } = decodeJwt(accessToken);
      clock.ms = exp * 1_000 - 1;
      assert.ok((await system.tokens.validate(accessToken)).isValid);
      clock.ms = exp * 1_000;
      assert.ok(!(await system.tokens.validate(accessToken)).isValid);
      // And where nobody has seen it before.
      assert.equal(await system.accessTokens.verify(accessToken), undefined);
    });

    test("of a replica whose clock is a little ahead is good", async (t) => {
      const ready = await shared.renew();
      const ahead = await openTokenSystem(t, ready, { clock: { ms: Date.now() + 30_000 } });
      const system = await openTokenSystem(t, ready);
      const { accessToken } = await ahead.tokens.issue(await createTestAccount(ahead.accounts));
      assert.ok((await system.tokens.validate(accessToken)).isValid);
    });
  });
}
