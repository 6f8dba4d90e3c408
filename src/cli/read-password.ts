import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { read } from "read";
import { CommandError } from "./failure.ts";

/** More than any password may have: whatever goes on for so long is something else. */
const maxLineBytes = 65_536;

/**
 * Reads a new password: on a terminal from its user, who is asked twice and sees none of it, else from the first line
 * of standard input, in UTF-8.
 *
 * @throws CommandError where there is none, or the two are not the same
 */
export async function readPassword(input: NodeJS.ReadStream): Promise<string> {
  if (!input.isTTY) {
    return readFirstLine(input);
  }
  const password = await ask(input, "Password:");
  if ((await ask(input, "The same again:")) !== password) {
    throw new CommandError("the two passwords are not the same");
  }
  return password;
}

async function ask(input: NodeJS.ReadStream, prompt: string): Promise<string> {
  // Ctrl-D ends the question without an answer; all that can be seen of it is that nothing is read any more.
  const left = once(input, "pause").then(() => setImmediate(undefined));
  // Without `terminal` the terminal itself would show what is typed where standard error is no terminal.
  const answer = read({ prompt, silent: true, terminal: true, input, output: process.stderr }).catch(
    () => undefined,
  );
  const password = await Promise.race([answer, left]);
  process.stderr.write("\n");
  if (password === undefined) {
    throw new CommandError("no password was given; nothing was created");
  }
  return password;
}

async function readFirstLine(input: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of input) {
    chunks.push(chunk);
    length += chunk.length;
    if (chunk.includes("\n") || length > maxLineBytes) break;
  }
  const bytes = Buffer.concat(chunks);
  const end = bytes.indexOf("\n");
  const line = decode(end === -1 ? bytes : bytes.subarray(0, end)).replace(/\r$/, "");
  if (line === "") {
    throw new CommandError("standard input has no password; its first line is to be the password");
  }
  return line;
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new CommandError("the password on standard input is not in UTF-8");
  }
}
