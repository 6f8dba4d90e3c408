import type { ServiceImpl } from "@connectrpc/connect";
import type { ApiKeyService } from "../../gen/apikeys/v1/apikeys_pb.ts";
import type { InternalAuthService } from "../../gen/ingestion/internal_auth_pb.ts";
import { type AccessWatch, createAccessWatch } from "../access/access-watch.ts";
import { createApiKeyHandler } from "../api-keys/api-key.handler.ts";
import { createApiKeyService } from "../api-keys/api-key.service.ts";
import { type ApiKeyAuthenticator, createApiKeyAuthenticator } from "../api-keys/api-key-authenticator.ts";
import { createInternalAuthHandler } from "../api-keys/internal-auth.handler.ts";
import type { Core } from "./core.ts";

/** What API keys add to a process. */
export interface ApiKeys {
  readonly handler: ServiceImpl<typeof ApiKeyService>;
  /** For the internal listener alone. */
  readonly internalHandler: ServiceImpl<typeof InternalAuthService>;
  readonly authenticator: ApiKeyAuthenticator;
  /** Vouches for all memory of keys, roles and permissions. */
  readonly watch: AccessWatch;
}

/** Builds API keys, in order. */
export function openApiKeys(core: Core): ApiKeys {
  const { database, logger, closing, answerWrite, now } = core;
  const watch = createAccessWatch({ database, logger });
  closing.push("access watch", () => watch.close());
  const authenticator = createApiKeyAuthenticator({ database, watch, logger });
  closing.push("API keys", () => authenticator.close());
  return {
    handler: createApiKeyHandler(createApiKeyService(database, now), answerWrite),
    internalHandler: createInternalAuthHandler(authenticator),
    authenticator,
    watch,
  };
}
