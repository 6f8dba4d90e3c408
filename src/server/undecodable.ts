import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";

/**
 * A request gate that makes undecodable protobuf and broken compression the caller's fault (INVALID_ARGUMENT).
 *
 * connect-es calls them INTERNAL, in a place that no interceptor sees. But in all three protocols it aborts the
 * call's signal with the error before it writes the error, so that this is the place to correct it.
 */
export function blameCallerForUndecodableBytes(context: HandlerContext): void {
  context.signal.addEventListener(
    "abort",
    () => {
      const error: unknown = context.signal.reason;
      if (
        error instanceof ConnectError &&
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
