import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { ApiKeySchema, ApiKeyService as ApiKeyServiceDesc } from "../../gen/apikeys/v1/apikeys_pb.ts";
import { callScope } from "../platform/call-scope.ts";
import { requirePermissions } from "../platform/require-permissions.ts";
import type { AnswerWrite } from "../writes/answer-write.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import type { ApiKeyService, IssuedApiKey, RotatedApiKey } from "./api-key.service.ts";
import type { ApiKey } from "./api-key.ts";

/**
 * Creates the implementation of apikeys.v1.ApiKeyService over the service. Requests have passed the rules of the
 * .proto file when they arrive here.
 */
export function createApiKeyHandler(
  keys: ApiKeyService,
  answerWrite: AnswerWrite,
): ServiceImpl<typeof ApiKeyServiceDesc> {
  return {
    async createApiKey(request, context) {
      requirePermissions(context, request.scopes);
      const input = {
        name: request.name,
        scopes: request.scopes,
        timeToLiveMs: request.timeToLive && durationMs(request.timeToLive),
        createdBy: actorOf(context),
      };
      return answerWrite(context, request, {
        write: (caller: WriteCaller<IssuedApiKey>) => keys.create(input, caller),
        answer: ({ key, secret }) => ({ apiKey: toMessage(key), secret }),
        subject: ({ key }) => key.id,
      });
    },

    async listApiKeys({ pageSize, pageToken }) {
      const page = await keys.list({ size: pageSize, token: pageToken });
      return { apiKeys: page.keys.map(toMessage), nextPageToken: page.nextToken };
    },

    getApiKey: async ({ id }) => ({ apiKey: toMessage(await keys.get(id)) }),

    revokeApiKey: (request, context) =>
      answerWrite(context, request, {
        write: (caller: WriteCaller<ApiKey>) => keys.revoke(request.id, caller),
        answer: (key) => ({ apiKey: toMessage(key) }),
        subject: ({ id }) => id,
      }),

    async rotateApiKey(request, context) {
      // A key's scopes never change, so that they can be looked at before the write.
      requirePermissions(context, (await keys.get(request.id)).scopes);
      const rotation = {
        graceMs: request.gracePeriod === undefined ? 0 : durationMs(request.gracePeriod),
        createdBy: actorOf(context),
      };
      return answerWrite(context, request, {
        write: (caller: WriteCaller<RotatedApiKey>) => keys.rotate(request.id, rotation, caller),
        answer: ({ key, secret, replaced }) => ({
          apiKey: toMessage(key),
          secret,
          replaced: toMessage(replaced),
        }),
        subject: ({ replaced }) => replaced.id,
      });
    },
  };
}

function actorOf({ values }: HandlerContext): string {
  return values.get(callScope).principal.actor;
}

function toMessage(key: ApiKey): MessageInitShape<typeof ApiKeySchema> {
  return {
    id: key.id,
    name: key.name,
    display: key.display,
    scopes: [...key.scopes],
    createdAt: timestampFromDate(key.createdAt),
    createdBy: key.createdBy,
    ...(key.expiresAt && { expiresAt: timestampFromDate(key.expiresAt) }),
    ...(key.revokedAt && { revokedAt: timestampFromDate(key.revokedAt) }),
    ...(key.lastUsedAt && { lastUsedAt: timestampFromDate(key.lastUsedAt) }),
    replaces: key.replaces ?? "",
  };
}
