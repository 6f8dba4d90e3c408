import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { withMessage } from "../../lane/messages.ts";
import { passThrough } from "../../lane/pass-through.ts";
import { PermissionDeniedError, UnauthenticatedError } from "../../platform/access.errors.ts";
import { type CallScope, callScope } from "../../platform/call-scope.ts";
import type { Credential, Door } from "../../platform/door.ts";
import { type AccessRule, isAbout, type Policy, procedureOf } from "../../platform/policy.ts";
import type { Principal } from "../../platform/principal.ts";
import { createStreamGuard } from "./stream-access.ts";

/** What it takes to let callers in. */
export interface AccessDependencies {
  readonly door: Door;
  readonly policy: Policy;
}

/** What stands between callers and handlers: both parts of it, on every way that a call can take. */
export interface Access {
  /**
   * Before anything of a request is read: turns away whoever is not known or may not, whatever the message says. At
   * once where all that it takes is in memory.
   *
   * @throws UnauthenticatedError, PermissionDeniedError; where the door cannot say: its error
   */
  admit(method: DescMethod, scope: CallScope): undefined | Promise<undefined>;
  /** With the message: lets a call through, and a stream for as long as its caller may have it. */
  readonly interceptor: Interceptor;
}

type Next = ReturnType<Interceptor>;
type AnyRequest = Parameters<Next>[0];

/**
 * Finds out who calls and lets them in or not, by the policy: the one place where that is decided. What is not in the
 * policy, nobody may call. One serves all listeners of a process.
 *
 * The interceptor asks the door again, though the call has been admitted: a message may be minutes on its way.
 */
export function createAccess({ door, policy }: AccessDependencies): Access {
  const streams = createStreamGuard(door);
  const rules = new Map<DescMethod, AccessRule | undefined>();

  function ruleOf(method: DescMethod): AccessRule | undefined {
    let rule = rules.get(method);
    if (rule === undefined) {
      rule = policy.get(procedureOf(method));
      rules.set(method, rule);
    }
    return rule;
  }

  /** What becomes of a call whose caller is known: at once where the door answers at once. */
  function identify<T>(
    scope: CallScope,
    go: (principal: Principal, credential: Credential) => T,
  ): T | Promise<Awaited<T>> {
    const credential = door.credentialOf(scope);
    if (credential === undefined) throw new UnauthenticatedError("CREDENTIAL_MISSING");
    const enter = (principal: Principal | undefined): T => {
      if (principal === undefined) throw new UnauthenticatedError("CREDENTIAL_INVALID");
      scope.principal = principal;
      return go(principal, credential);
    };
    const found = door.identify(credential);
    return found instanceof Promise ? (found.then(enter) as Promise<Awaited<T>>) : enter(found);
  }

  const interceptor = passThrough((next) => (request) => {
    const rule = ruleOf(request.method);
    // Whoever logs in anew may have a credential that has ended.
    if (rule?.kind === "public") return next(request);
    return identify(request.contextValues.get(callScope), (principal, credential) => {
      const { admitted, permission } = check(rule, principal, request);
      if (!request.stream) return next(admitted);
      const stream = streams.watch(credential, permission, request.signal);
      return stream
        .orEnd(next(admitted))
        .then((response) =>
          response.stream ? withMessage(response, stream.guard(response.message)) : response,
        );
    });
  });

  return {
    interceptor,
    admit(method, scope) {
      const rule = ruleOf(method);
      if (rule?.kind === "public") return undefined;
      return identify(scope, (principal): undefined => assertMayTry(rule, principal));
    },
  };
}

/** @throws PermissionDeniedError where no message could make a difference */
function assertMayTry(rule: AccessRule | undefined, principal: Principal): undefined {
  if (rule === undefined) throw new PermissionDeniedError();
  if (rule.kind !== "permission" || principal.permits(rule.permission)) return;
  if (rule.self === undefined || principal.user === undefined) {
    throw new PermissionDeniedError(rule.permission);
  }
}

/**
 * @returns the request to go on with, and the permission that lets it, if it takes one
 * @throws PermissionDeniedError
 */
function check(
  rule: AccessRule | undefined,
  principal: Principal,
  request: AnyRequest,
): { admitted: AnyRequest; permission: string | undefined } {
  if (rule === undefined) throw new PermissionDeniedError();
  if (rule.kind !== "permission") return { admitted: request, permission: undefined };
  const { permission, self } = rule;
  if (principal.permits(permission)) return { admitted: request, permission };

  const { user } = principal;
  if (self === undefined || user === undefined) throw new PermissionDeniedError(permission);
  const assertSelf = (message: Message): void => {
    if (!isAbout(user, self(message))) throw new PermissionDeniedError(permission);
  };
  if (!request.stream) {
    assertSelf(request.message);
    return { admitted: request, permission: undefined };
  }
  const checked = checkEach(request.message as AsyncIterable<Message>, assertSelf);
  return { admitted: withMessage(request, checked), permission: undefined };
}

/** What a stream is about is known when its messages are read. */
async function* checkEach(
  messages: AsyncIterable<Message>,
  assert: (message: Message) => void,
): AsyncGenerator<Message> {
  for await (const message of messages) {
    assert(message);
    yield message;
  }
}
