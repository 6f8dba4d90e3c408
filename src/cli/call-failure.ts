import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";

/** What Node says where nothing takes a connection. */
const unreachable = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
]);

/** Says for people why a call failed, and what to do where that is known. */
export function describeCallFailure(url: string, failure: unknown): string {
  const error = ConnectError.from(failure);
  const { cause } = error;
  // A status that the server sent has no cause; an error that the transport met on its way has.
  if (cause instanceof Error) {
    const code = "code" in cause ? String(cause.code) : "";
    const detail = (cause instanceof ConnectError ? cause.rawMessage : cause.message) || code;
    return unreachable.has(code)
      ? `no server answers at ${url} (${detail}); start one with: user-bridge serve, or say where it is by --url or LISTEN`
      : `the connection to ${url} failed: ${detail}`;
  }
  const info = error.findDetails(ErrorInfoSchema)[0];
  switch (error.code) {
    case Code.Unauthenticated:
      return describeRefusedCredential(url, error.rawMessage, info?.reason === "CREDENTIAL_MISSING");
    case Code.PermissionDenied:
      return describeMissingPermission(url, error.rawMessage, info?.metadata["permission"]);
    default: {
      const earliest = info?.metadata["earliest_cursor"];
      return `the call to ${url} failed: ${error.message}${earliest === undefined ? "" : `; earliest_cursor is ${earliest}`}`;
    }
  }
}

function describeRefusedCredential(url: string, text: string, isMissing: boolean): string {
  return isMissing
    ? `the server at ${url} asks who calls: set USER_BRIDGE_API_KEY or give --api-key-file, or --cert and --key; user-bridge api-keys create makes a key`
    : `the server at ${url} refuses the credential: ${text}. Is the key in USER_BRIDGE_API_KEY or --api-key-file complete, and neither revoked nor expired? user-bridge api-keys list tells; api-keys create makes another`;
}

function describeMissingPermission(url: string, text: string, permission: string | undefined): string {
  const advice =
    permission === undefined
      ? ""
      : `; show a key that has it: user-bridge api-keys create --name … --scope ${permission}`;
  return `the server at ${url} does not permit it: ${text}${advice}`;
}
