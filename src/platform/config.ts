import { isIP } from "node:net";
import { z } from "zod";
import { parseByteSize, parseDuration } from "./units.ts";

/** A host and a port to listen on. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Everything the process can be told from outside. Times are milliseconds, sizes bytes. */
export interface Config {
  readonly listen: ListenAddress;
  readonly tls?: { readonly certPath: string; readonly keyPath: string; readonly clientCaPath?: string };
  /** Origins that browsers may call from; undefined means loopback origins only. */
  readonly corsOrigins?: readonly string[];
  readonly auth: "off" | "on";
  readonly reflection: boolean;
  /** Whether the fast lane answers what it can; off: connect-es answers everything. */
  readonly lane: "on" | "off";
  readonly database: DatabaseConfig;
  readonly migrate: "on" | "off";
  /** How long events are kept; undefined means for ever. */
  readonly eventRetentionMs?: number;
  readonly streamStallTimeoutMs: number;
  readonly maxMessageBytes: number;
  readonly maxStreamsPerConnection: number;
  readonly drainTimeoutMs: number;
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";
  readonly logFormat: "json" | "pretty";
}

/** Which database to open: the embedded one in a folder, or a PostgreSQL server. */
export type DatabaseConfig =
  | { readonly kind: "embedded"; readonly dataDir: string }
  | { readonly kind: "postgres"; readonly url: string; readonly poolSize: number };

/** The environment holds values that the process cannot work with. Lists every fault, one a line. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(`the configuration is wrong:\n${faults.map((fault) => `  - ${fault}`).join("\n")}`);
    this.faults = faults;
  }
}

const duration = (minimumMs: number, maximumMs: number, range: string) =>
  z.string().transform((text, context) => {
    const value = parseDuration(text);
    if (value === undefined || value < minimumMs || value > maximumMs) {
      context.addIssue(`must be a duration ${range} such as 500ms, 10s, 5m, 12h or 30d, not "${text}"`);
      return z.NEVER;
    }
    return value;
  });

const integer = (minimum: number, maximum: number) =>
  z.string().transform((text, context) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < minimum || value > maximum) {
      context.addIssue(`must be a whole number from ${minimum} to ${maximum}, not "${text}"`);
      return z.NEVER;
    }
    return value;
  });

const choice = <const T extends string>(...values: [T, ...T[]]) =>
  z.enum(values, { error: (issue) => `must be one of ${values.join(", ")}, not "${String(issue.input)}"` });

const listenAddress = z.string().transform((text, context): ListenAddress => {
  const match = /^(\[[^\]]+\]|[^:[\]]+):(\d{1,5})$/.exec(text);
  const host = match?.[1]?.replace(/^\[|\]$/g, "") ?? "";
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    context.addIssue(`must be host:port such as 127.0.0.1:8080 or [::1]:8080, not "${text}"`);
    return z.NEVER;
  }
  return { host, port };
});

const byteSize = z.string().transform((text, context) => {
  const value = parseByteSize(text);
  if (value === undefined || value < 1024 || value > 1024 ** 3) {
    context.addIssue(`must be a size from 1KiB to 1GiB such as 4MiB, not "${text}"`);
    return z.NEVER;
  }
  return value;
});

const postgresUrl = z.string().transform((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["postgres:", "postgresql:"].includes(url.protocol)) {
    // The value may hold a password: it is never repeated.
    context.addIssue("must be a URL such as postgres://user:password@host:5432/database");
    return z.NEVER;
  }
  return text;
});

const corsOrigins = z.string().transform((text, context) => {
  const origins = text
    .split(",")
    .map((origin) => origin.trim())
    .filter((origin) => origin !== "");
  for (const origin of origins) {
    const valid = origin === "*" || (URL.canParse(origin) && new URL(origin).origin === origin);
    if (!valid) {
      context.addIssue(`must be "*" or origins such as https://app.example.com, not "${origin}"`);
    }
  }
  return origins;
});

const path = z.string().min(1);

const authChoice = choice("off", "on");

const defaultListen = "127.0.0.1:8080";

const environment = z.object({
  LISTEN: listenAddress.prefault(defaultListen),
  TLS_CERT: path.optional(),
  TLS_KEY: path.optional(),
  TLS_CLIENT_CA: path.optional(),
  CORS_ORIGINS: corsOrigins.optional(),
  AUTH: authChoice.optional(),
  REFLECTION: choice("off", "on").optional(),
  LANE: choice("on", "off").prefault("on"),
  DATABASE_URL: postgresUrl.optional(),
  DATABASE_POOL_SIZE: integer(1, 1_000).prefault("10"),
  DATA_DIR: path.prefault(".data"),
  MIGRATE: choice("on", "off").prefault("on"),
  EVENT_RETENTION: z
    .union([
      z.literal("off").transform(() => undefined),
      duration(1_000, Number.MAX_SAFE_INTEGER, "of 1s or more, or off,"),
    ])
    .prefault("30d"),
  STREAM_STALL_TIMEOUT: duration(100, 3_600_000, "from 100ms to 1h").prefault("30s"),
  MAX_MESSAGE_BYTES: byteSize.prefault("4MiB"),
  MAX_STREAMS_PER_CONNECTION: integer(1, 1_000_000).prefault("100"),
  DRAIN_TIMEOUT: duration(0, 3_600_000, "from 0s to 1h").prefault("10s"),
  LOG_LEVEL: choice("trace", "debug", "info", "warn", "error", "fatal", "silent").prefault("info"),
  LOG_FORMAT: choice("json", "pretty").prefault("json"),
});

/** The names of all variables that {@link readConfig} looks at. */
export const configVariables: readonly string[] = Object.keys(environment.shape);

/**
 * Reads the configuration from environment variables. An empty variable counts as unset.
 *
 * @param purpose a process that listens must also say how it is protected; a command that only uses the
 * database need not
 * @throws ConfigError that lists every fault at once
 */
export function readConfig(variables: NodeJS.ProcessEnv, purpose: "serve" | "command"): Config {
  const given = Object.fromEntries(
    configVariables.flatMap((name) => (variables[name] ? [[name, variables[name]]] : [])),
  );
  const parsed = environment.safeParse(given);
  const faults = parsed.success ? [] : parsed.error.issues.map(describeIssue);
  // The rules between variables are checked even where another variable is wrong, so that one start shows all.
  faults.push(...tlsFaults(given));
  if (purpose === "serve") {
    faults.push(...accessFaults(given));
  }
  if (!parsed.success || faults.length > 0) {
    throw new ConfigError(faults);
  }
  return toConfig(parsed.data);
}

function describeIssue(issue: z.core.$ZodIssue): string {
  // A union reports the faults of its branches; the last branch is the one that describes the common case.
  const message = issue.code === "invalid_union" ? issue.errors.at(-1)?.[0]?.message : issue.message;
  return `${issue.path.join(".")}: ${message ?? issue.message}`;
}

type GivenVariables = Readonly<Record<string, string | undefined>>;

function tlsFaults(given: GivenVariables): string[] {
  const faults: string[] = [];
  if ((given["TLS_CERT"] === undefined) !== (given["TLS_KEY"] === undefined)) {
    faults.push("TLS_CERT, TLS_KEY: set both or neither");
  }
  if (given["TLS_CLIENT_CA"] !== undefined && given["TLS_CERT"] === undefined) {
    faults.push("TLS_CLIENT_CA: needs TLS_CERT and TLS_KEY");
  }
  return faults;
}

function accessFaults(given: GivenVariables): string[] {
  if (!authChoice.optional().safeParse(given["AUTH"]).success) {
    return [];
  }
  if (defaultedAuth(given["AUTH"], given["DATABASE_URL"]) === "on") {
    return [
      "AUTH: on needs credentials, and this version has no way to configure any yet; set AUTH=off and listen on a loopback address (off is the default only for the embedded database)",
    ];
  }
  const listen = listenAddress.safeParse(given["LISTEN"] ?? defaultListen);
  return listen.success && !isLoopback(listen.data.host)
    ? [
        `AUTH: off works only on a loopback address, and LISTEN is ${listen.data.host}; listen on 127.0.0.1 and put your edge in front`,
      ]
    : [];
}

/** Nothing guards an open door but the loopback address, so only the try-it-out database opens it by itself. */
function defaultedAuth(auth: string | undefined, databaseUrl: string | undefined): "off" | "on" {
  return (auth ?? (databaseUrl === undefined ? "off" : "on")) === "off" ? "off" : "on";
}

function toConfig(values: z.output<typeof environment>): Config {
  const auth = defaultedAuth(values.AUTH, values.DATABASE_URL);
  return {
    listen: values.LISTEN,
    ...(values.TLS_CERT !== undefined &&
      values.TLS_KEY !== undefined && {
        tls: {
          certPath: values.TLS_CERT,
          keyPath: values.TLS_KEY,
          ...(values.TLS_CLIENT_CA !== undefined && { clientCaPath: values.TLS_CLIENT_CA }),
        },
      }),
    ...(values.CORS_ORIGINS !== undefined && { corsOrigins: values.CORS_ORIGINS }),
    auth,
    reflection: values.REFLECTION === undefined ? auth === "off" : values.REFLECTION === "on",
    lane: values.LANE,
    database:
      values.DATABASE_URL === undefined
        ? { kind: "embedded", dataDir: values.DATA_DIR }
        : { kind: "postgres", url: values.DATABASE_URL, poolSize: values.DATABASE_POOL_SIZE },
    migrate: values.MIGRATE,
    ...(values.EVENT_RETENTION !== undefined && { eventRetentionMs: values.EVENT_RETENTION }),
    streamStallTimeoutMs: values.STREAM_STALL_TIMEOUT,
    maxMessageBytes: values.MAX_MESSAGE_BYTES,
    maxStreamsPerConnection: values.MAX_STREAMS_PER_CONNECTION,
    drainTimeoutMs: values.DRAIN_TIMEOUT,
    logLevel: values.LOG_LEVEL,
    logFormat: values.LOG_FORMAT,
  };
}

/** Whether a host is this machine and only this machine. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
