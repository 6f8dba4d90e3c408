import { join } from "node:path";
import { z } from "zod";
import {
  addressList,
  byteSize,
  choice,
  corsOrigins,
  duration,
  integer,
  type ListenAddress,
  listenAddress,
  path,
  postgresUrl,
  secretKeys,
  serviceUrl,
} from "./config-fields.ts";
import {
  accessFaults,
  authChoice,
  defaultedAuth,
  defaultListen,
  defaultPasswordMemory,
  passwordFaults,
  serviceFaults,
  serviceList,
  tlsFaults,
} from "./config-rules.ts";

/** A part of the product that a process can mount. */
export type ServiceName = "users" | "auth" | "profiles";

/** Everything the process can be told from outside. Times are milliseconds, sizes bytes. */
export interface Config {
  readonly listen: ListenAddress;
  readonly tls?: { readonly certPath: string; readonly keyPath: string; readonly clientCaPath?: string };
  /** Origins that browsers may call from; undefined means loopback origins only. */
  readonly corsOrigins?: readonly string[];
  /** What the process mounts; access goes with auth. */
  readonly services: ReadonlySet<ServiceName>;
  /** Where auth is served; undefined where it is mounted here. */
  readonly authUrl?: string;
  readonly auth: "off" | "on";
  /** Addresses and networks whose x-forwarded-for is believed. */
  readonly trustedProxies: readonly string[];
  readonly tokens: TokenConfig;
  readonly passwords: PasswordConfig;
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

/** How tokens are made. */
export interface TokenConfig {
  readonly issuer: string;
  readonly audience: string;
  readonly accessTtlMs: number;
  readonly refreshTtlMs: number;
  /** How long a signing key signs; undefined means until it is rotated by command. */
  readonly keyRotationMs?: number;
  /** The first encrypts the signing keys, all decrypt them; undefined means one that is kept in `keyFile`. */
  readonly keyEncryptionKeys?: readonly Buffer[];
  readonly keyFile: string;
}

/** How passwords are hashed (argon2id). */
export interface PasswordConfig {
  readonly memoryKib: number;
  readonly iterations: number;
  readonly parallelism: number;
  /** How many are hashed at once. */
  readonly maxConcurrency: number;
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

const hour = 3_600_000;
const day = 24 * hour;

/** A duration, or `off` for none. */
const optionalDuration = (minimumMs: number, maximumMs: number, range: string) =>
  z.union([z.literal("off").transform(() => undefined), duration(minimumMs, maximumMs, range)]);

const environment = z.object({
  LISTEN: listenAddress.prefault(defaultListen),
  TLS_CERT: path.optional(),
  TLS_KEY: path.optional(),
  TLS_CLIENT_CA: path.optional(),
  CORS_ORIGINS: corsOrigins.optional(),
  AUTH: authChoice.optional(),
  REFLECTION: choice("off", "on").optional(),
  TRUSTED_PROXIES: addressList.prefault(""),
  SERVICES: serviceList.prefault("users,auth,profiles"),
  AUTH_URL: serviceUrl.optional(),
  TOKEN_ISSUER: z.string().max(200).prefault("user-bridge"),
  TOKEN_AUDIENCE: z.string().max(200).prefault("user-bridge"),
  ACCESS_TOKEN_TTL: duration(1_000, day, "from 1s to 24h").prefault("60m"),
  REFRESH_TOKEN_TTL: duration(1_000, 365 * day, "from 1s to 365d").prefault("7d"),
  SIGNING_KEY_ROTATION: optionalDuration(hour, 365 * day, "from 1h to 365d, or off,").prefault("30d"),
  KEY_ENCRYPTION_KEY: secretKeys.optional(),
  PASSWORD_MEMORY: byteSize.prefault(defaultPasswordMemory),
  PASSWORD_ITERATIONS: integer(1, 100).prefault("2"),
  PASSWORD_PARALLELISM: integer(1, 16).prefault("1"),
  PASSWORD_CONCURRENCY: integer(1, 64).prefault("2"),
  LANE: choice("on", "off").prefault("on"),
  DATABASE_URL: postgresUrl.optional(),
  DATABASE_POOL_SIZE: integer(1, 1_000).prefault("10"),
  DATA_DIR: path.prefault(".data"),
  MIGRATE: choice("on", "off").prefault("on"),
  EVENT_RETENTION: optionalDuration(1_000, Number.MAX_SAFE_INTEGER, "of 1s or more, or off,").prefault("30d"),
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
  faults.push(...tlsFaults(given), ...serviceFaults(given), ...passwordFaults(given));
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
    services: values.SERVICES,
    ...(values.AUTH_URL !== undefined && !values.SERVICES.has("auth") && { authUrl: values.AUTH_URL }),
    auth,
    trustedProxies: values.TRUSTED_PROXIES,
    tokens: toTokenConfig(values),
    passwords: {
      memoryKib: Math.floor(values.PASSWORD_MEMORY / 1024),
      iterations: values.PASSWORD_ITERATIONS,
      parallelism: values.PASSWORD_PARALLELISM,
      maxConcurrency: values.PASSWORD_CONCURRENCY,
    },
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

function toTokenConfig(values: z.output<typeof environment>): TokenConfig {
  return {
    issuer: values.TOKEN_ISSUER,
    audience: values.TOKEN_AUDIENCE,
    accessTtlMs: values.ACCESS_TOKEN_TTL,
    refreshTtlMs: values.REFRESH_TOKEN_TTL,
    ...(values.SIGNING_KEY_ROTATION !== undefined && { keyRotationMs: values.SIGNING_KEY_ROTATION }),
    ...(values.KEY_ENCRYPTION_KEY !== undefined && { keyEncryptionKeys: values.KEY_ENCRYPTION_KEY }),
    keyFile: join(values.DATA_DIR, "key-encryption-key"),
  };
}
