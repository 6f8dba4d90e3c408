import type { KyselyPlugin } from "kysely";
import { DatabaseUnavailableError } from "../../src/platform/errors.ts";

/** What stands between a process and its database. */
export interface DatabaseGate {
  readonly plugin: KyselyPlugin;
  /** How many statements have come by. */
  statements(): number;
  open(): void;
  /** Statements fail, or do not come back until the gate is opened. */
  shut(how: "failing" | "frozen"): void;
}

/** Creates a gate that is open. */
export function createDatabaseGate(): DatabaseGate {
  let statements = 0;
  let failing = false;
  let opened = Promise.resolve();
  let open = (): void => {};
  return {
    plugin: {
      transformQuery({ node }) {
        statements += 1;
        if (failing) throw new DatabaseUnavailableError();
        return node;
      },
      async transformResult({ result }) {
        await opened;
        return result;
      },
    },
    statements: () => statements,
    open() {
      failing = false;
      open();
    },
    shut(how) {
      failing = how === "failing";
      if (how === "frozen") {
        const waiting = Promise.withResolvers<void>();
        opened = waiting.promise;
        open = waiting.resolve;
      }
    },
  };
}
