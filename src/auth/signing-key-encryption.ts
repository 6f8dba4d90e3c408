import { randomBytes, randomUUID } from "node:crypto";
import { link, open, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { makePrivateFolder } from "../platform/private-files.ts";
import { createSecretBox, type SecretBox, secretBoxKeyBytes } from "../platform/secret-box.ts";
import { KeyEncryptionKeyError } from "./signing-key.errors.ts";

/** Where the keys are that encrypt the signing keys. */
export interface KeyEncryptionSettings {
  /** The first encrypts, all decrypt; undefined means the one in `keyFile`. */
  readonly keyEncryptionKeys?: readonly Uint8Array[];
  /** Made where it is missing. */
  readonly keyFile: string;
}

/**
 * Opens the box that the signing keys are kept in.
 *
 * @throws KeyEncryptionKeyError where the file holds no key; the system's error
 */
export async function openSigningKeyBox({
  keyEncryptionKeys,
  keyFile,
}: KeyEncryptionSettings): Promise<SecretBox> {
  return createSecretBox(keyEncryptionKeys ?? [await readOrMakeKey(keyFile)]);
}

async function readOrMakeKey(path: string): Promise<Buffer> {
  const present = await readKey(path);
  if (present !== undefined) {
    return present;
  }
  await makeKey(path);
  const made = await readKey(path);
  if (made === undefined) {
    throw new KeyEncryptionKeyError(`${path} was removed as soon as it was made`);
  }
  return made;
}

async function readKey(path: string): Promise<Buffer | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const key = Buffer.from(text.trim(), "base64");
  if (key.length !== secretBoxKeyBytes) {
    throw new KeyEncryptionKeyError(
      `${path} does not hold ${secretBoxKeyBytes} bytes in base64; put back the file that was there`,
    );
  }
  return key;
}

/** Puts a whole key in the file's place, on the disk, unless somebody else was first. */
async function makeKey(path: string): Promise<void> {
  await makePrivateFolder(dirname(path));
  const draftPath = `${path}.${randomUUID()}`;
  const draft = await open(draftPath, "wx", 0o600);
  try {
    await draft.writeFile(`${randomBytes(secretBoxKeyBytes).toString("base64")}\n`);
    await draft.sync();
  } finally {
    await draft.close();
  }
  try {
    // Unlike a rename, a link never replaces a key that is there.
    await link(draftPath, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(draftPath, { force: true });
  }
}
