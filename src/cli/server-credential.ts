import { readFile } from "node:fs/promises";
import type { Credential } from "../client/credential.ts";
import { CommandError } from "./failure.ts";

/** The variable that holds an API key: arguments can be read by everybody on the machine. */
const keyVariable = "USER_BRIDGE_API_KEY";

/** The API key to show to a server; undefined where there is none. A file is read again for each attempt. */
export async function readApiKey(
  path: string | undefined,
  variables: NodeJS.ProcessEnv,
): Promise<Credential | undefined> {
  if (path === undefined) return variables[keyVariable]?.trim() || undefined;
  const read = async (): Promise<string> => (await readFile(path, "utf8")).trim();
  // A wrong path should fail the start, not a call.
  if ((await readOrRefuse("the API key", read())) === "") {
    throw new CommandError(`there is no API key in ${path}`);
  }
  return read;
}

/**
 * A client certificate and its key, as `tls.connect` takes them; nothing where none is named.
 *
 * @throws CommandError where only one is named, one cannot be read or the URL's protocol knows no certificates
 */
export async function readClientCertificate(
  url: string,
  { cert, key }: { readonly cert?: string; readonly key?: string },
): Promise<{ cert: Buffer; key: Buffer } | undefined> {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new CommandError("--cert and --key: give both or neither");
  }
  if (!url.startsWith("https:")) {
    throw new CommandError(`--cert needs an https URL, not ${url}`);
  }
  return {
    cert: await readOrRefuse("the client certificate", readFile(cert)),
    key: await readOrRefuse("the client certificate's key", readFile(key)),
  };
}

/** @throws CommandError instead of what the file system says */
export async function readOrRefuse<T>(what: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    throw new CommandError(`cannot read ${what}: ${(error as Error).message}`, { cause: error });
  }
}
