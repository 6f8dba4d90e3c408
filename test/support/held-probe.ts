import type { TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { JsonObject, Message } from "@bufbuild/protobuf";
import { toJson } from "@bufbuild/protobuf";
import { type Struct, StructSchema } from "@bufbuild/protobuf/wkt";
import type { Transport } from "@connectrpc/connect";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import type { Config, LimitsConfig } from "../../src/platform/config.ts";
import {
  type AdmissionOptions,
  createAdmission,
  type WatchedAdmission,
} from "../../src/server/admission/admission.ts";
import { createHealthHandler } from "../../src/server/health/health.handler.ts";
import { createHealthStatus } from "../../src/server/health/health.status.ts";
import { type Host, openHost } from "../../src/server/host.ts";
import type { Access } from "../../src/server/interceptors/access.ts";
import { principalOf, wideLimits } from "./bounded-calls.ts";
import { cleanUpAfter } from "./clean-up.ts";
import { testLogger } from "./event-system.ts";
import { toStruct } from "./probe-script.ts";
import { probeCall, probeRoutes, probeStream } from "./probe-service.ts";
import { testConfig } from "./test-app.ts";
import { withDeadline } from "./with-deadline.ts";

/** A call whose handler runs until the test lets it go. */
export interface HeldCall {
  /** What it was called with. */
  readonly name: string;
  /** Lets it end well. */
  finish(): void;
  fail(error: Error): void;
}

/** A host with bounds, whose handlers run until the test lets them go. */
export interface HeldHost extends Host {
  readonly admission: WatchedAdmission;
  /** Those whose handlers run. */
  readonly held: readonly HeldCall[];
  /** The most that have run at once. */
  readonly mostHeld: number;
  /** How many handlers have begun. */
  readonly begun: number;
  /** Lets all end that run now, and all that come. */
  letAllGo(): void;
}

/** What can be chosen about it. */
export interface HeldHostOptions extends AdmissionOptions {
  readonly lane: "on" | "off";
  readonly limits?: Partial<LimitsConfig>;
  readonly config?: Partial<Config>;
}

/** Says who calls, to a host that believes it. */
export const callerField = "x-caller";

/** Whoever says a name has it; the others are anonymous. */
const believing: Access = {
  interceptor: (next) => next,
  admit(_method, scope) {
    const name = scope.header(callerField);
    if (name !== undefined) scope.principal = principalOf(name);
    return undefined;
  },
};

/** Opens it. */
export async function openHeldHost(t: TestContext, options: HeldHostOptions): Promise<HeldHost> {
  const admission = createAdmission({ ...wideLimits, ...options.limits }, options);
  const held = new Set<HeldCall>();
  let [begun, mostHeld, isOpen] = [0, 0, false];

  function hold(request: Message): Promise<Message> {
    begun += 1;
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    const call: HeldCall = {
      name: String((toJson(StructSchema, request as Struct) as JsonObject)["name"]),
      finish: () => resolve(request),
      fail: reject,
    };
    held.add(call);
    mostHeld = Math.max(mostHeld, held.size);
    if (isOpen) call.finish();
    return promise.finally(() => held.delete(call));
  }

  const registerProbe = probeRoutes({
    call: hold,
    async *stream(request) {
      yield request;
      yield await hold(request);
    },
  });
  const host = await openHost({
    config: { ...testConfig({}), drainTimeoutMs: 100, ...options.config, lane: options.lane },
    logger: testLogger,
    routes(router) {
      registerProbe(router);
      router.service(Health, createHealthHandler(createHealthStatus([])));
    },
    health: createHealthStatus([]),
    access: believing,
    admission,
  });
  const letAllGo = (): void => {
    isOpen = true;
    for (const call of held) call.finish();
  };
  cleanUpAfter(t, async () => {
    letAllGo();
    await host.close();
    admission.close();
  });
  return {
    ...host,
    admission,
    letAllGo,
    get held() {
      return [...held];
    },
    get mostHeld() {
      return mostHeld;
    },
    get begun() {
      return begun;
    },
  };
}

/** Calls the probe. */
export async function callProbe(
  transport: Transport,
  name: string,
  { caller, signal, timeoutMs }: { caller?: string; signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<void> {
  const header = caller === undefined ? {} : { [callerField]: caller };
  await transport.unary(probeCall, signal, timeoutMs, header, toStruct({ name }));
}

/** Opens a stream of the probe. @returns its messages, after the first has come */
export async function openProbeStream(
  transport: Transport,
  name: string,
  { caller, signal }: { caller?: string; signal?: AbortSignal } = {},
): Promise<AsyncIterator<Message>> {
  const header = caller === undefined ? {} : { [callerField]: caller };
  async function* request() {
    yield toStruct({ name });
  }
  const response = await transport.stream(probeStream, signal, undefined, header, request());
  const messages = response.message[Symbol.asyncIterator]();
  await messages.next();
  return messages;
}

/** Waits for a condition. */
export async function until(what: string, condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  let isWaiting = true;
  const wait = async () => {
    while (isWaiting && !condition()) await setImmediate();
  };
  try {
    await withDeadline(what, wait(), timeoutMs);
  } finally {
    isWaiting = false;
  }
}
