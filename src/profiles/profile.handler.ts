import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ActivitySchema,
  type UserPreferencesResponseSchema,
  type UserProfileResponseSchema,
  UserService,
} from "../../gen/user/user_pb.ts";
import { InvalidInputError } from "../platform/errors.ts";
import { describeHealth, type ServingStatus } from "../platform/service-health.ts";
import { toUnixSeconds } from "../platform/units.ts";
import type { AnswerWrite } from "../writes/answer-write.ts";
import type { WriteCaller } from "../writes/write-record.ts";
import type { ActivityService } from "./activity.service.ts";
import type { Activity } from "./activity.ts";
import { capTotal } from "./page.ts";
import type { PreferenceService } from "./preference.service.ts";
import type { UserPreferences } from "./preferences.ts";
import type { ProfileService } from "./profile.service.ts";
import type { Profile } from "./profile.ts";
import type { SearchFilter } from "./search/user-search.ts";

/** What the handler delegates to. */
export interface ProfileHandlerDependencies {
  readonly profiles: ProfileService;
  readonly preferences: PreferenceService;
  readonly activities: ActivityService;
  readonly answerWrite: AnswerWrite;
  readonly health: ServingStatus;
  readonly now: () => Date;
}

/** Implements user.UserService. */
export function createProfileHandler(
  dependencies: ProfileHandlerDependencies,
): ServiceImpl<typeof UserService> {
  const { profiles, preferences, activities, answerWrite, health, now } = dependencies;
  return {
    getUserProfile: async ({ userId }, context) => toProfileMessage(await profiles.get(userId, context)),

    updateUserProfile(request, context) {
      const { userId, displayName, avatarUrl, bio, location, website } = request;
      const change = { displayName, avatarUrl, bio, location, website };
      return answerWrite(context, request, {
        write: (caller: WriteCaller<Profile>) => profiles.update(userId, change, context, caller),
        answer: toProfileMessage,
        subject: ({ account }) => account.id,
      });
    },

    getUserPreferences: async ({ userId }, { signal }) =>
      toPreferencesMessage(await preferences.get(userId, signal)),

    updateUserPreferences(request, context) {
      const { userId, theme, language, notificationsEnabled } = request;
      const change = {
        theme,
        language,
        notificationsEnabled,
        // Neither a list nor a map can be told from one that was left out, unless it has something in it.
        notificationChannels: unlessEmpty(request.notificationChannels),
        additionalPreferences: unlessEmpty(request.additionalPreferences),
      };
      return answerWrite(context, request, {
        write: (caller: WriteCaller<UserPreferences>) => preferences.update(userId, change, caller),
        answer: toPreferencesMessage,
        subject: (updated) => updated.userId,
      });
    },

    getUserActivity: async ({ userId, limit, offset }, { signal }) => {
      const page = await activities.list(userId, { limit, offset }, signal);
      return {
        userId: page.userId,
        activities: page.activities.map(toActivityMessage),
        totalCount: capTotal(page.total),
      };
    },

    recordUserActivity(request, context) {
      const { userId, activityType: type, description, metadata } = request;
      return answerWrite(context, request, {
        write: (caller: WriteCaller<string>) =>
          activities.record(userId, { type, description, metadata }, caller),
        answer: (activityId) => ({ activityId, success: true }),
        subject: () => userId.toLowerCase(),
      });
    },

    getUserByEmail: async ({ email }, context) => toProfileMessage(await profiles.getByEmail(email, context)),

    searchUsers: async ({ query, limit, offset, filters }, context) => {
      const found = await profiles.search(
        { text: query, limit, offset, filters: filters.map(toFilter) },
        context,
      );
      return { users: found.profiles.map(toProfileMessage), totalCount: capTotal(found.total) };
    },

    healthCheck: ({ service }) => describeHealth(UserService, service, health, now()),
  };
}

function toProfileMessage({
  account,
  texts,
  updatedAt,
}: Profile): MessageInitShape<typeof UserProfileResponseSchema> {
  return {
    ...texts,
    userId: account.id,
    email: account.email,
    fullName: account.fullName,
    createdAt: toUnixSeconds(account.createdAt),
    updatedAt: toUnixSeconds(updatedAt),
  };
}

function toPreferencesMessage({
  notificationChannels,
  additionalPreferences,
  ...scalars
}: UserPreferences): MessageInitShape<typeof UserPreferencesResponseSchema> {
  return {
    ...scalars,
    notificationChannels: [...notificationChannels],
    additionalPreferences: { ...additionalPreferences },
  };
}

function toActivityMessage(activity: Activity): MessageInitShape<typeof ActivitySchema> {
  return {
    id: activity.id,
    userId: activity.userId,
    activityType: activity.type,
    description: activity.description,
    metadata: { ...activity.metadata },
    createdAt: toUnixSeconds(activity.createdAt),
  };
}

const filterNames: readonly SearchFilter[] = ["active", "inactive", "superuser", "has_username"];

/** The contract's rules have refused every other. */
function toFilter(name: string): SearchFilter {
  const filter = filterNames.find((known) => known === name);
  if (filter === undefined) {
    throw new InvalidInputError([
      { field: "filters", description: "has an unknown filter", reason: "filter" },
    ]);
  }
  return filter;
}

function unlessEmpty<T extends object>(texts: T): T | undefined {
  return Object.keys(texts).length === 0 ? undefined : texts;
}
