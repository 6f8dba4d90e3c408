import { createContextKey } from "@connectrpc/connect";

/**
 * The IP address of a call's caller, in its usual form (IPv4 never as IPv6), as far as it can be trusted. The empty
 * text where there is none: the call came by no socket, or the socket is closed already.
 */
export const callerAddress = createContextKey("", { description: "the caller's address" });
