import { randomUUID, type X509Certificate } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { createContextKey } from "@connectrpc/connect";
import { anonymous, type Principal } from "./principal.ts";
import type { TraceSpan } from "./trace-span.ts";

/** What of a request says who sent it and from where. */
export interface RequestOrigin {
  readonly requestHeaders: IncomingHttpHeaders;
  /** Names and values in turn, as they arrived: of some fields that come more than once, Node keeps one in the other. */
  readonly rawHeaders: readonly string[];
  /** The other end of the connection; undefined where it is closed already. */
  readonly remoteAddress: string | undefined;
  /** The certificate that the other end has shown and that has been found good; undefined where there is none. */
  readonly clientCertificate: X509Certificate | undefined;
}

/** What a call takes up of what there is only so much of. */
export interface CallHold {
  /** The call needs it no more. Once a call. */
  giveBack(): void;
}

/** Short, visible, and neither a token nor a key that somebody has put into the wrong field. */
const requestIdPattern = /^(?!eyJ|ub[kr]_)[\x21-\x7e]{1,128}$/;

/**
 * The id of a request: its caller's own, where that can be written into a log, else one that is made here. What is made
 * is put into the request's fields, which all who look at the request share: so it has one id, be it asked for before
 * anything else is known of the request.
 */
export function requestIdOf(requestHeaders: IncomingHttpHeaders): string {
  const given = requestHeaders["x-request-id"];
  if (typeof given === "string" && requestIdPattern.test(given)) return given;
  const made = randomUUID();
  requestHeaders["x-request-id"] = made;
  return made;
}

/** What is known of a call beside its message: who makes it, from where, and under which id. */
export class CallScope {
  /** Who calls: what the door has found, once it has. */
  principal: Principal = anonymous;
  /** The span of the call; undefined where nobody traces it. */
  span: TraceSpan | undefined;
  /** What it takes up; kept here, so that nothing need be made or looked up for it. */
  hold: CallHold | undefined;
  readonly origin: RequestOrigin;
  readonly #findAddress: (origin: RequestOrigin) => string;
  #address: string | undefined;
  #requestId: string | undefined;

  constructor(origin: RequestOrigin, findAddress: (origin: RequestOrigin) => string) {
    this.origin = origin;
    this.#findAddress = findAddress;
  }

  /**
   * The IP address of the caller, in its usual form (IPv4 never as IPv6), as far as it can be trusted. The empty
   * text where there is none: the call came by no socket, or the socket is closed already.
   */
  get address(): string {
    this.#address ??= this.#findAddress(this.origin);
    return this.#address;
  }

  /** As {@link requestIdOf} has it: on the answer, in the log and in the audit log. */
  get requestId(): string {
    this.#requestId ??= requestIdOf(this.origin.requestHeaders);
    return this.#requestId;
  }

  /** A field of the request's header, several of one name joined by commas. */
  header(name: string): string | undefined {
    const value = this.origin.requestHeaders[name];
    return Array.isArray(value) ? value.join(", ") : value;
  }
}

const noOrigin: RequestOrigin = {
  requestHeaders: {},
  rawHeaders: [],
  remoteAddress: undefined,
  clientCertificate: undefined,
};

/** The scope of a call, in its context values. */
export const callScope = createContextKey<CallScope>(new CallScope(noOrigin, () => ""), {
  description: "who calls, and from where",
});
