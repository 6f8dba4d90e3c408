import type { ServiceImpl } from "@connectrpc/connect";
import type { InternalAuthService } from "../../gen/ingestion/internal_auth_pb.ts";
import type { ApiKeyAuthenticator } from "./api-key-authenticator.ts";

/**
 * Creates the implementation of ingestion.InternalAuthService. Whatever is wrong with a key is an answer; no text that
 * cannot be a key, such as the probe `startup-readiness-check`, gets as far as the database.
 */
export function createInternalAuthHandler(
  keys: Pick<ApiKeyAuthenticator, "authenticate">,
): ServiceImpl<typeof InternalAuthService> {
  return {
    async validateApiKey({ apiKey }) {
      try {
        return { isValid: (await keys.authenticate(apiKey)) !== undefined };
      } catch (error) {
        // INTERNAL, also where the database is unavailable: the contract knows no other failure. The cause is logged.
        throw new Error("an API key could not be validated", { cause: error });
      }
    },
  };
}
