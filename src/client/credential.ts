import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/**
 * An API key or an access token, or a function that has the one of the moment: it is asked for every attempt and every
 * stream, so that a token can be refreshed in between.
 *
 * The empty text is none. What the function throws is what the call fails with: a ConnectError as it is, anything else
 * as UNAVAILABLE, after which reads, writes with an idempotency key and followers try again.
 */
export type Credential = string | (() => string | Promise<string>);

/** With what a client says who calls. */
export interface CredentialOptions {
  /** Sent as `authorization: Bearer …` with each call that has no `authorization` of its own. */
  readonly credential?: Credential;
  /** Sends it also where everybody on the way can read it: over http to another machine. */
  readonly allowInsecureCredential?: boolean;
}

/** Visible ASCII: what a header field can carry without being quoted or cut. */
const presentable = /^[\x21-\x7e]+$/;

/**
 * The interceptor that shows a credential to the server at an URL; none where there is no credential. It belongs behind
 * the caller's own interceptors, which then do not see the secret.
 *
 * @throws TypeError where the credential would be sent in the clear, or no header could carry it
 */
export function credentialInterceptors(baseUrl: string, options: CredentialOptions): Interceptor[] {
  const { credential, allowInsecureCredential = false } = options;
  if (credential === undefined) return [];
  if (!allowInsecureCredential && !isPrivate(baseUrl)) {
    throw new TypeError(
      "a credential goes only over https or to this machine, unless allowInsecureCredential is set",
    );
  }
  if (typeof credential === "string" && credential !== "" && !presentable.test(credential)) {
    throw new TypeError(unpresentableText);
  }
  return [showCredential(credential)];
}

const unpresentableText = "the credential has characters that no header can carry";

function showCredential(credential: Credential): Interceptor {
  return (next) => async (request) => {
    if (request.header.has("authorization")) return next(request);
    const text = typeof credential === "string" ? credential : await ask(credential, request.signal);
    if (text === "") return next(request);
    // Headers would repeat the secret in its error.
    if (!presentable.test(text)) throw new ConnectError(unpresentableText, Code.Unauthenticated);
    // A copy: the caller's interceptors can still read the original.
    const header = new Headers(request.header);
    header.set("authorization", `Bearer ${text}`);
    return next({ ...request, header });
  };
}

/** Fails with the signal's reason as soon as that aborts: at the deadline, or when the caller leaves. */
function ask(credential: () => string | Promise<string>, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    Promise.resolve()
      .then(credential)
      .then(resolve, (error: unknown) => reject(toConnectError(error)))
      .finally(() => signal.removeEventListener("abort", abort));
  });
}

function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  const text = `no credential could be had: ${error instanceof Error ? error.message : String(error)}`;
  return new ConnectError(text, Code.Unavailable, undefined, undefined, error);
}

/** Whether nobody else can read what is sent there. */
function isPrivate(baseUrl: string): boolean {
  // A page may name its own server by a path alone.
  const { location } = globalThis as { location?: { href: string } };
  const url = URL.parse(baseUrl, location?.href);
  return url !== null && (url.protocol === "https:" || isLoopback(url.hostname));
}

/** As a URL has it: an IPv4 address in its usual form, an IPv6 address in brackets, a name in lower case. */
function isLoopback(hostname: string): boolean {
  return /^(?:127(?:\.\d+){3}|\[::1\]|(?:.*\.)?localhost)$/.test(hostname);
}
