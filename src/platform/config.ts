import { join } from "node:path";
import { z } from "zod";
import {
  addressList,
  apiKey,
  byteSize,
  choice,
  corsOrigins,
  duration,
  integer,
  type ListenAddress,
  listenAddress,
  optionalListenAddress,
  path,
  postgresUrl,
  secretKeys,
  serviceUrl,
  spkiPins,
} from "./config-fields.ts";
import {
  accessFaults,
  authChoice,
  type ClientAuth,
  clientAuthChoice,
  defaultedAuth,
  defaultInternalListen,
  defaultListen,
  defaultPasswordMemory,
  listenFaults,
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
  readonly tls?: TlsConfig;
  /** The listener for what is nobody's business outside; undefined where there is none. */
  readonly internal?: { readonly listen: ListenAddress; readonly tls?: TlsConfig };
  /** A file that says which client certificates are whose. */
  readonly clientPrincipalsPath?: string;
  /** Origins that browsers may call from; undefined means loopback origins only. */
  readonly corsOrigins?: readonly string[];
  /** What the process mounts; access goes with auth. */
  readonly services: ReadonlySet<ServiceName>;
  /** Where auth is served; undefined where it is mounted here. */
  readonly authUrl?: string;
  /** What this process shows to the one at `authUrl`. */
  readonly authApiKey?: string;
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
  /** How long entries of the audit log are kept; undefined means for ever. */
  readonly auditRetentionMs?: number;
  readonly streamStallTimeoutMs: number;
  readonly maxMessageBytes: number;
  readonly maxStreamsPerConnection: number;
  readonly drainTimeoutMs: number;
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";
  readonly logFormat: "json" | "pretty";
}

/** What a listener speaks TLS with. All paths are of PEM files. */
export interface TlsConfig {
  readonly certPath: string;
  readonly keyPath: string;
  /** Authorities that sign good client certificates; undefined: whoever signed it, the pins decide. */
  readonly clientCaPath?: string;
  /** SHA-256 of the public keys (SubjectPublicKeyInfo) of good client certificates; empty: any. */
  readonly clientSpkiPins: readonly Buffer[];
  /** Whether clients must, may or cannot show a certificate. */
  readonly clientAuth: ClientAuth;
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
  TLS_CLIENT_SPKI_PINS: spkiPins.optional(),
  TLS_CLIENT_AUTH: clientAuthChoice.optional(),
  TLS_CLIENT_PRINCIPALS: path.optional(),
  INTERNAL_LISTEN: optionalListenAddress.prefault(defaultInternalListen),
  INTERNAL_TLS: choice("off", "on").prefault("off"),
  INTERNAL_TLS_CLIENT_AUTH: clientAuthChoice.optional(),
  CORS_ORIGINS: corsOrigins.optional(),
  AUTH: authChoice.optional(),
  REFLECTION: choice("off", "on").optional(),
  TRUSTED_PROXIES: addressList.prefault(""),
  SERVICES: serviceList.prefault("users,auth,profiles"),
  AUTH_URL: serviceUrl.optional(),
  AUTH_API_KEY: apiKey.optional(),
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
  AUDIT_RETENTION: optionalDuration(1_000, Number.MAX_SAFE_INTEGER, "of 1s or more, or off,").prefault(
    "365d",
  ),
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
    faults.push(...listenFaults(given), ...accessFaults(given));
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
  const tls = toTlsConfig(values, values.TLS_CLIENT_AUTH);
  const internalTls = toTlsConfig(values, values.INTERNAL_TLS_CLIENT_AUTH);
  return {
    listen: values.LISTEN,
    ...(tls !== undefined && { tls }),
    ...(values.INTERNAL_LISTEN !== undefined && {
      internal: {
        listen: values.INTERNAL_LISTEN,
        ...(values.INTERNAL_TLS === "on" &&
          internalTls !== undefined && {
            tls: internalTls,
          }),
      },
    }),
    ...(values.TLS_CLIENT_PRINCIPALS !== undefined && { clientPrincipalsPath: values.TLS_CLIENT_PRINCIPALS }),
    ...(values.CORS_ORIGINS !== undefined && { corsOrigins: values.CORS_ORIGINS }),
    services: values.SERVICES,
    ...(values.AUTH_URL !== undefined && !values.SERVICES.has("auth") && { authUrl: values.AUTH_URL }),
    ...(values.AUTH_API_KEY !== undefined && { authApiKey: values.AUTH_API_KEY }),
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
    ...(values.AUDIT_RETENTION !== undefined && { auditRetentionMs: values.AUDIT_RETENTION }),
    streamStallTimeoutMs: values.STREAM_STALL_TIMEOUT,
    maxMessageBytes: values.MAX_MESSAGE_BYTES,
    maxStreamsPerConnection: values.MAX_STREAMS_PER_CONNECTION,
    drainTimeoutMs: values.DRAIN_TIMEOUT,
    logLevel: values.LOG_LEVEL,
    logFormat: values.LOG_FORMAT,
  };
}

/** Where clients can show a certificate that can be told from a bad one, they must, unless it is said otherwise. */
function toTlsConfig(
  values: z.output<typeof environment>,
  clientAuth: ClientAuth | undefined,
): TlsConfig | undefined {
  const { TLS_CERT: certPath, TLS_KEY: keyPath, TLS_CLIENT_CA: clientCaPath } = values;
  const clientSpkiPins = values.TLS_CLIENT_SPKI_PINS ?? [];
  const isJudged = clientCaPath !== undefined || clientSpkiPins.length > 0;
  return certPath === undefined || keyPath === undefined
    ? undefined
    : {
        certPath,
        keyPath,
        ...(clientCaPath !== undefined && { clientCaPath }),
        clientSpkiPins,
        clientAuth: clientAuth ?? (isJudged ? "required" : "off"),
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
