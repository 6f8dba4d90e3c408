import { join } from "node:path";
import { z } from "zod";
import { type Config, ConfigError, type TlsConfig, type TokenConfig } from "./config.ts";
import {
  addressList,
  apiKey,
  byteSize,
  choice,
  corsOrigins,
  duration,
  headerList,
  httpUrl,
  integer,
  listenAddress,
  optionalListenAddress,
  optionalRate,
  pairList,
  path,
  postgresUrl,
  ratio,
  secretKeys,
  serviceUrl,
  spkiPins,
} from "./config-fields.ts";
import {
  accessFaults,
  authChoice,
  type ClientAuth,
  clientAuthChoice,
  deadlineFaults,
  defaultedAuth,
  defaultInternalListen,
  defaultListen,
  defaultPasswordMemory,
  limitFaults,
  listenFaults,
  passwordFaults,
  serviceFaults,
  serviceList,
  tlsFaults,
} from "./config-rules.ts";

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
  DATABASE_MAX_WAITING: integer(0, 1_000_000).prefault("1000"),
  DATA_DIR: path.prefault(".data"),
  MIGRATE: choice("on", "off").prefault("on"),
  EVENT_RETENTION: optionalDuration(1_000, Number.MAX_SAFE_INTEGER, "of 1s or more, or off,").prefault("30d"),
  AUDIT_RETENTION: optionalDuration(1_000, Number.MAX_SAFE_INTEGER, "of 1s or more, or off,").prefault(
    "365d",
  ),
  STREAM_STALL_TIMEOUT: duration(100, 3_600_000, "from 100ms to 1h").prefault("30s"),
  MAX_MESSAGE_BYTES: byteSize.prefault("4MiB"),
  MAX_STREAMS_PER_CONNECTION: integer(1, 1_000_000).prefault("100"),
  DEFAULT_DEADLINE: duration(1, day, "from 1ms to 24h").prefault("30s"),
  MAX_DEADLINE: duration(1, day, "from 1ms to 24h").prefault("5m"),
  MAX_CONCURRENT_CALLS: integer(1, 1_000_000).prefault("2000"),
  MAX_CONCURRENT_CALLS_PER_CALLER: integer(1, 1_000_000).prefault("1000"),
  MAX_QUEUED_CALLS: integer(0, 1_000_000).prefault("2000"),
  MAX_STREAMS: integer(1, 1_000_000).prefault("20000"),
  MAX_STREAMS_PER_CALLER: integer(1, 1_000_000).prefault("10000"),
  RATE_LIMIT_PER_PRINCIPAL: optionalRate.prefault("off"),
  RATE_LIMIT_PER_ADDRESS: optionalRate.prefault("off"),
  MAX_EVENT_LOOP_DELAY: optionalDuration(10, 60_000, "from 10ms to 1m, or off,").prefault("500ms"),
  MAX_CONNECTIONS: integer(1, 1_000_000).prefault("20000"),
  HEADER_TIMEOUT: duration(100, hour, "from 100ms to 1h").prefault("10s"),
  BODY_TIMEOUT: duration(100, hour, "from 100ms to 1h").prefault("30s"),
  KEEPALIVE_INTERVAL: duration(100, hour, "from 100ms to 1h").prefault("75s"),
  KEEPALIVE_TIMEOUT: duration(100, hour, "from 100ms to 1h").prefault("20s"),
  DRAIN_TIMEOUT: duration(0, 3_600_000, "from 0s to 1h").prefault("10s"),
  LOG_LEVEL: choice("trace", "debug", "info", "warn", "error", "fatal", "silent").prefault("info"),
  LOG_FORMAT: choice("json", "pretty").prefault("json"),
  LOG_CALLS: choice("all", "errors", "none").prefault("all"),
  LOG_CALLS_PER_SECOND: integer(1, 100_000).prefault("50"),
  OTEL_EXPORTER_OTLP_ENDPOINT: httpUrl.optional(),
  OTEL_EXPORTER_OTLP_HEADERS: headerList.prefault(""),
  OTEL_SERVICE_NAME: z.string().max(200).optional(),
  OTEL_RESOURCE_ATTRIBUTES: pairList.prefault(""),
  OTEL_TRACES_SAMPLER_ARG: ratio.prefault("1"),
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
  faults.push(
    ...tlsFaults(given),
    ...serviceFaults(given),
    ...passwordFaults(given),
    ...deadlineFaults(given),
    ...limitFaults(given),
  );
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
        ? { kind: "embedded", dataDir: values.DATA_DIR, maxWaiting: values.DATABASE_MAX_WAITING }
        : {
            kind: "postgres",
            url: values.DATABASE_URL,
            poolSize: values.DATABASE_POOL_SIZE,
            maxWaiting: values.DATABASE_MAX_WAITING,
          },
    migrate: values.MIGRATE,
    ...(values.EVENT_RETENTION !== undefined && { eventRetentionMs: values.EVENT_RETENTION }),
    ...(values.AUDIT_RETENTION !== undefined && { auditRetentionMs: values.AUDIT_RETENTION }),
    deadlines: { defaultMs: values.DEFAULT_DEADLINE, maximumMs: values.MAX_DEADLINE },
    limits: toLimitsConfig(values),
    connections: {
      maxConnections: values.MAX_CONNECTIONS,
      headerTimeoutMs: values.HEADER_TIMEOUT,
      bodyTimeoutMs: values.BODY_TIMEOUT,
      keepaliveIntervalMs: values.KEEPALIVE_INTERVAL,
      keepaliveTimeoutMs: values.KEEPALIVE_TIMEOUT,
    },
    streamStallTimeoutMs: values.STREAM_STALL_TIMEOUT,
    maxMessageBytes: values.MAX_MESSAGE_BYTES,
    maxStreamsPerConnection: values.MAX_STREAMS_PER_CONNECTION,
    drainTimeoutMs: values.DRAIN_TIMEOUT,
    logLevel: values.LOG_LEVEL,
    logFormat: values.LOG_FORMAT,
    callLog: { calls: values.LOG_CALLS, maxLinesPerSecond: values.LOG_CALLS_PER_SECOND },
    ...(values.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined && {
      tracing: {
        endpoint: values.OTEL_EXPORTER_OTLP_ENDPOINT,
        headers: values.OTEL_EXPORTER_OTLP_HEADERS,
        serviceName:
          values.OTEL_SERVICE_NAME ?? values.OTEL_RESOURCE_ATTRIBUTES["service.name"] ?? "user-bridge",
        resourceAttributes: values.OTEL_RESOURCE_ATTRIBUTES,
        sampleRatio: values.OTEL_TRACES_SAMPLER_ARG,
      },
    }),
  };
}

function toLimitsConfig(values: z.output<typeof environment>): Config["limits"] {
  return {
    maxConcurrentCalls: values.MAX_CONCURRENT_CALLS,
    maxConcurrentCallsPerCaller: Math.min(
      values.MAX_CONCURRENT_CALLS_PER_CALLER,
      values.MAX_CONCURRENT_CALLS,
    ),
    maxQueuedCalls: values.MAX_QUEUED_CALLS,
    maxStreams: values.MAX_STREAMS,
    maxStreamsPerCaller: Math.min(values.MAX_STREAMS_PER_CALLER, values.MAX_STREAMS),
    ...(values.RATE_LIMIT_PER_PRINCIPAL !== undefined && { principalRate: values.RATE_LIMIT_PER_PRINCIPAL }),
    ...(values.RATE_LIMIT_PER_ADDRESS !== undefined && { addressRate: values.RATE_LIMIT_PER_ADDRESS }),
    ...(values.MAX_EVENT_LOOP_DELAY !== undefined && { maxEventLoopDelayMs: values.MAX_EVENT_LOOP_DELAY }),
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
