import type { TestContext } from "node:test";
import type { DatabaseConfig } from "../../src/platform/config.ts";
import { type ActivityService, createActivityService } from "../../src/profiles/activity.service.ts";
import { createLocalAccounts } from "../../src/profiles/local-accounts.ts";
import { createPreferenceService, type PreferenceService } from "../../src/profiles/preference.service.ts";
import { createProfileService, type ProfileService } from "../../src/profiles/profile.service.ts";
import { createUserSearch } from "../../src/profiles/search/user-search.ts";
import type { Database } from "../../src/schema.ts";
import type { Account } from "../../src/users/account.ts";
import { cleanUpAfter } from "./clean-up.ts";
import { type EventSystem, openLog, openProcess, testLogger } from "./event-system.ts";

/** The profiles of one process, without its port. */
export interface ProfileSystem extends EventSystem {
  readonly profiles: ProfileService;
  readonly preferences: PreferenceService;
  readonly activities: ActivityService;
  /** An account with an email of its own. */
  createAccount(): Promise<Account>;
}

let made = 0;

/** Opens profiles on an open database. */
export async function openProfileSystem(t: TestContext, database: Database): Promise<ProfileSystem> {
  return build(t, await openLog(t, database));
}

/** The same with connections of its own, as another process has them. */
export async function openProfileProcess(t: TestContext, config: DatabaseConfig): Promise<ProfileSystem> {
  return build(t, await openProcess(t, config));
}

function build(t: TestContext, system: EventSystem): ProfileSystem {
  const { database, log, accounts, users } = system;
  const now = () => new Date();
  const search = createUserSearch({ database, logger: testLogger });
  cleanUpAfter(t, search.close);
  return {
    ...system,
    profiles: createProfileService({
      database,
      log,
      accounts: createLocalAccounts(accounts),
      users,
      search,
      now,
    }),
    preferences: createPreferenceService(database),
    activities: createActivityService(database, now),
    createAccount() {
      made += 1;
      return accounts.create({
        email: `person${made}@example.com`,
        fullName: `Person ${made}`,
        isActive: true,
        isSuperuser: false,
        passwordHash: "$argon2id$none",
      });
    },
  };
}
