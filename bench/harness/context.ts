import type { Contender } from "./contender.ts";
import type { Load } from "./load.ts";
import type { Options } from "./options.ts";
import type { Postgres } from "./postgres.ts";
import type { ScenarioResult } from "./results.ts";

/** What every scenario works with. */
export interface Context {
  readonly options: Options;
  readonly postgres: Postgres;
  /** The database with `options.users` users, which all servers share. */
  readonly databaseUrl: string;
  readonly load: Load;
  readonly contenders: readonly Contender[];
  /** Tells the one who waits. */
  say(text: string): void;
  /** How the emails of a run's registrations begin: another one each time. */
  nextPrefix(): string;
}

/** A thing to measure. */
export interface Scenario {
  readonly name: string;
  /** Whether it runs only where it is asked for. */
  readonly large?: boolean;
  run(context: Context): Promise<ScenarioResult>;
}
