import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";

/**
 * A request gate that makes undecodable protobuf and broken compression the caller's fault (INVALID_ARGUMENT), and
 * the text of every error one that can be sent.
 *
 * connect-es calls the former INTERNAL, in a place that no interceptor sees; and where it quotes from undecodable JSON,
 * half a surrogate pair makes it fail on its own error, which leaves the call with a bare 500. But in all three
 * protocols it aborts the call's signal with the error before it writes the error, so that this is the place to
 * correct it.
 */
export function blameCallerForUndecodableBytes(context: HandlerContext): void {
  context.signal.addEventListener(
    "abort",
    () => {
      const error: unknown = context.signal.reason;
      if (!(error instanceof ConnectError)) return;
      if (!error.message.isWellFormed()) {
        Object.assign(error, {
          message: error.message.toWellFormed(),
          rawMessage: error.rawMessage.toWellFormed(),
        });
      }
      if (
        error.code === Code.Internal &&
        /^(?:parse binary: |decompression failed$)/.test(error.rawMessage)
      ) {
        Object.assign(error, {
          code: Code.InvalidArgument,
          message: error.message.replace("[internal]", "[invalid_argument]"),
        });
      }
    },
    { once: true },
  );
}
