/** A byte of flags and four of length, as gRPC, gRPC-Web and Connect streams frame each message. */
const headLength = 5;

/** Follows the envelopes of a body, and keeps nothing of them. */
export class EnvelopeCount {
  #messages = 0;
  /** How much of an envelope's head has come, and the length that it says so far. */
  #headBytes = 0;
  #length = 0;
  /** How much of the message is still to come, once its head has. */
  #missing = 0;

  /** Whether a message has come, and none is under way. */
  get isBetweenMessages(): boolean {
    return this.#messages > 0 && this.#headBytes === 0;
  }

  feed(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headBytes < headLength) {
        if (this.#headBytes > 0) this.#length = this.#length * 256 + (chunk[at] as number);
        this.#headBytes++;
        at++;
        if (this.#headBytes === headLength) this.#missing = this.#length;
      } else {
        const taken = Math.min(this.#missing, chunk.length - at);
        this.#missing -= taken;
        at += taken;
      }
      if (this.#headBytes === headLength && this.#missing === 0) this.#begin();
    }
  }

  #begin(): void {
    this.#messages++;
    this.#headBytes = 0;
    this.#length = 0;
  }
}
