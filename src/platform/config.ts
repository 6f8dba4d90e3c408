import type { ListenAddress, Rate } from "./config-fields.ts";
import type { ClientAuth } from "./config-rules.ts";

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
  readonly deadlines: DeadlineConfig;
  readonly limits: LimitsConfig;
  readonly connections: ConnectionConfig;
  readonly streamStallTimeoutMs: number;
  readonly maxMessageBytes: number;
  readonly maxStreamsPerConnection: number;
  readonly drainTimeoutMs: number;
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";
  readonly logFormat: "json" | "pretty";
  readonly callLog: CallLogConfig;
  /** How traces are made and where they go; undefined where nobody wants them. */
  readonly tracing?: TracingConfig;
}

/** How long calls may last. Streams that last by their nature are exempt. */
export interface DeadlineConfig {
  /** Of a call whose caller names none. */
  readonly defaultMs: number;
  /** Of any call, whatever its caller names. */
  readonly maximumMs: number;
}

/** How much may be asked of the public listener at once. */
export interface LimitsConfig {
  /** Calls that run at once, streams left out. */
  readonly maxConcurrentCalls: number;
  /** The same for one caller: a principal, or an address where nobody is asked. */
  readonly maxConcurrentCallsPerCaller: number;
  /** Calls that wait for others to end; what comes beyond is refused. */
  readonly maxQueuedCalls: number;
  readonly maxStreams: number;
  readonly maxStreamsPerCaller: number;
  /** Calls and streams that one principal may begin; undefined: as many as it likes. */
  readonly principalRate?: Rate;
  /** The same for one address, whoever calls from there. */
  readonly addressRate?: Rate;
  /** Load is shed before the event loop is late by this much; undefined: never. */
  readonly maxEventLoopDelayMs?: number;
}

/** What connections may do. */
export interface ConnectionConfig {
  /** Open at once, on one listener. */
  readonly maxConnections: number;
  /** How long the header of a request may be on its way. */
  readonly headerTimeoutMs: number;
  /** How long a request's body may pause: its first message, the next one, the rest of one. */
  readonly bodyTimeoutMs: number;
  /** After so long without a sign of life, the other end is asked for one (HTTP/2 PING, TCP keepalive). */
  readonly keepaliveIntervalMs: number;
  /** A connection whose other end has not answered after so long is ended. */
  readonly keepaliveTimeoutMs: number;
}

/** Which calls are logged, a line each. */
export interface CallLogConfig {
  /** All, only those that fail, or none. */
  readonly calls: "all" | "errors" | "none";
  /** Lines a second at most; calls beyond are counted. */
  readonly maxLinesPerSecond: number;
}

/** Where traces go: OpenTelemetry's own variables (OTEL_…), as its specification has them. */
export interface TracingConfig {
  /** The base of an OTLP endpoint over HTTP, e.g. `http://127.0.0.1:4318`. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  readonly resourceAttributes: Readonly<Record<string, string>>;
  /** The share of traces that are kept where the caller has not decided, 0 to 1. */
  readonly sampleRatio: number;
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
  | {
      readonly kind: "embedded";
      readonly dataDir: string;
      /** How many may wait for its one session, as below. */
      readonly maxWaiting?: number;
    }
  | {
      readonly kind: "postgres";
      readonly url: string;
      readonly poolSize: number;
      /** How many may wait for a connection; who comes beyond is refused. Undefined: as many as are let in. */
      readonly maxWaiting?: number;
    };

/** The environment holds values that the process cannot work with. Lists every fault, one a line. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(`the configuration is wrong:\n${faults.map((fault) => `  - ${fault}`).join("\n")}`);
    this.faults = faults;
  }
}
