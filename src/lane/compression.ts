import { type Compression, compressionNegotiate } from "@connectrpc/connect/protocol";
import { assertFewPartsOfAny } from "./message-shape.ts";

/** The same, but what has been decompressed is refused where decoding it would take too long. */
export function boundParts(compression: Compression): Compression {
  return {
    ...compression,
    async decompress(bytes, readMaxBytes) {
      const message = await compression.decompress(bytes, readMaxBytes);
      assertFewPartsOfAny(message);
      return message;
    },
  };
}

/** Smaller messages are sent as they are: connect-es's own default. */
export const compressMinBytes = 1_024;

/** Callers choose the text; without a bound, they would choose how much is remembered. */
const rememberedHeaders = 64;

/**
 * Chooses how to compress a response, by the request's header that says what its sender can read; undefined
 * where nothing fits.
 */
export function createCompressionChoice(
  available: readonly Compression[],
): (accepted: string | undefined) => Compression | undefined {
  const remembered = new Map<string, Compression | undefined>();
  return (accepted) => {
    if (accepted === undefined) return undefined;
    if (remembered.has(accepted)) return remembered.get(accepted);
    const { response } = compressionNegotiate([...available], null, accepted, "");
    if (remembered.size < rememberedHeaders) remembered.set(accepted, response ?? undefined);
    return response ?? undefined;
  };
}
