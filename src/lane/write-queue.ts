import type { Socket } from "node:net";

/** What Node's own timeout of sockets looks at; it has no public name. */
interface Handle {
  readonly writeQueueSize?: number;
  /** With TLS, what is outside it. */
  readonly _parent?: Handle;
}

interface HandledSocket {
  readonly _handle?: Handle | null;
}

/**
 * Bytes that a connection has been given and that the kernel has not taken. Of one large write, streams learn nothing
 * before all of it is taken; this says meanwhile whether any is.
 */
export function queuedBytes(socket: Socket | null | undefined): number {
  const handle = (socket as HandledSocket | null | undefined)?._handle;
  return (handle?.writeQueueSize ?? 0) + (handle?._parent?.writeQueueSize ?? 0);
}
