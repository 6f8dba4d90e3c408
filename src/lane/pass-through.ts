import type { Interceptor } from "@connectrpc/connect";

const passing = new WeakSet<Interceptor>();

/**
 * Declares that an interceptor passes the very request of a unary call on, and returns the very response, never a
 * copy with something changed. Where all interceptors do, the lane need not provide for copies. Streams are not
 * concerned.
 */
export function passThrough(interceptor: Interceptor): Interceptor {
  passing.add(interceptor);
  return interceptor;
}

/** Whether all of them have been declared so. */
export function allPassThrough(interceptors: readonly Interceptor[]): boolean {
  return interceptors.every((interceptor) => passing.has(interceptor));
}
