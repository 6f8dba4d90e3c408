import type { Message } from "@bufbuild/protobuf";
import type { Call } from "./call.ts";
import type { Invoker } from "./invoke.ts";
import { answerUnary, toConnectError } from "./response.ts";
import type { UnaryRoute } from "./routes.ts";

/**
 * Runs a unary call and answers it, once, with whatever comes first: its response, its failure or its deadline.
 * Whether its handler notices the deadline or not, nobody waits for it any longer.
 */
export function runUnary(call: Call, route: UnaryRoute, message: Message, invoker: Invoker): void {
  call.beginWork();
  invoker.unary(call, route, message).then(
    (response) => {
      succeed(call, response);
      call.endWork();
    },
    (error) => {
      call.fail(toConnectError(error));
      call.endWork();
    },
  );
}

function succeed(call: Call, response: Message): void {
  if (call.isEnded) return;
  try {
    answerUnary(call, response);
    call.end();
  } catch (error) {
    call.fail(toConnectError(error));
  }
}
