import type { ServiceImpl } from "@connectrpc/connect";
import type { UserService } from "../../gen/user/user_pb.ts";
import { isLoopback } from "../platform/config-rules.ts";
import type { AccountSource } from "../profiles/account-source.ts";
import { createActivityService } from "../profiles/activity.service.ts";
import { createLocalAccounts } from "../profiles/local-accounts.ts";
import { createPreferenceService } from "../profiles/preference.service.ts";
import { createProfileHandler } from "../profiles/profile.handler.ts";
import { createProfileService } from "../profiles/profile.service.ts";
import { createRemoteAccounts } from "../profiles/remote-accounts.ts";
import { createUserSearch } from "../profiles/search/user-search.ts";
import type { Core } from "./core.ts";

/** Builds profiles, preferences, activity and search, in order, over the accounts of this process or another. */
export function openProfiles(core: Core): ServiceImpl<typeof UserService> {
  const { logger, closing, database, log, users, answerWrite, health, now } = core;
  const search = createUserSearch({ database, logger });
  closing.push("search", () => search.close());
  return createProfileHandler({
    profiles: createProfileService({
      database,
      log,
      accounts: openAccountSource(core),
      users,
      search,
      now,
    }),
    preferences: createPreferenceService(database),
    activities: createActivityService(database, now),
    answerWrite,
    health,
    now,
  });
}

function openAccountSource({ config, logger, closing, accounts }: Core): AccountSource {
  const { authUrl: url, authApiKey: credential } = config;
  if (url === undefined) {
    return createLocalAccounts(accounts);
  }
  const { protocol, hostname } = new URL(url);
  if (credential === undefined && config.auth === "on") {
    logger.warn({ url }, "AUTH_API_KEY is not set: if that process asks who calls, it will refuse this one");
  }
  if (credential !== undefined && protocol === "http:" && !isLoopback(hostname.replace(/^\[|\]$/g, ""))) {
    logger.warn({ url }, "AUTH_API_KEY is sent unencrypted: whoever is on the way can read it");
  }
  const remote = createRemoteAccounts({
    url,
    ...(credential !== undefined && { credential, allowInsecureCredential: true }),
  });
  closing.push("client of auth", () => remote.close());
  return remote;
}
