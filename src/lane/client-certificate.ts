import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";

/**
 * On the socket itself, since that is what all views of it agree on: HTTP/2 hands its sockets out behind proxies, one
 * a session or one a request, which pass on what they are asked for, but are objects of their own.
 */
const goodCertificate = Symbol("client certificate");

interface CarryingSocket extends Socket {
  [goodCertificate]?: X509Certificate | undefined;
}

/** Keeps the certificate that the other end has shown and that has been found good, as long as the connection. */
export function keepClientCertificate(socket: Socket, certificate: X509Certificate | undefined): void {
  (socket as CarryingSocket)[goodCertificate] = certificate;
}

/** The certificate that was found good when the connection was made: the same object for all its calls. */
export function clientCertificateOf(socket: Socket | undefined): X509Certificate | undefined {
  return (socket as CarryingSocket | undefined)?.[goodCertificate];
}
