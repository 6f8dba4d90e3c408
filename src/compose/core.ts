import type { RoleService } from "../access/role.service.ts";
import type { EventLog } from "../events/event-log.ts";
import type { EventTailer } from "../events/event-tailer.ts";
import type { AccountGuard } from "../platform/account-guard.ts";
import type { Closing } from "../platform/closing.ts";
import type { Config } from "../platform/config.ts";
import type { Logger } from "../platform/logger.ts";
import type { Database } from "../schema.ts";
import type { HealthStatus } from "../server/health/health.status.ts";
import type { Metrics } from "../telemetry/metrics/open-metrics.ts";
import type { AccountService } from "../users/account.service.ts";
import type { UserService } from "../users/user.service.ts";
import type { AnswerWrite } from "../writes/answer-write.ts";

/** What every process has, whatever it mounts, and what the services that it mounts are built on. */
export interface Core {
  readonly config: Config;
  readonly logger: Logger;
  /** Where whatever is opened registers its close. */
  readonly closing: Closing;
  readonly database: Database;
  readonly tailer: EventTailer;
  readonly log: EventLog;
  readonly users: UserService;
  readonly accounts: AccountService;
  readonly roles: RoleService;
  /** How every handler carries out its writes. */
  readonly answerWrite: AnswerWrite;
  /** Whom every handler asks before it changes an account. */
  readonly accountGuard: AccountGuard;
  readonly health: HealthStatus;
  /** Undefined where nobody could read them. */
  readonly metrics: Metrics | undefined;
  readonly now: () => Date;
}
