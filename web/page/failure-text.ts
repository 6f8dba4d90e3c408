import { Code, ConnectError, findErrorReason } from "user-bridge/client";

const textsByReason = new Map([
  ["EMAIL_TAKEN", "Somebody has this email already."],
  ["USERNAME_TAKEN", "Somebody has this username already."],
  ["USER_NOT_FOUND", "There is no such user."],
  ["CREDENTIAL_MISSING", "The server asks who you are: give an access token or an API key above."],
  ["CREDENTIAL_INVALID", "The access token or API key above is not good, or not any more."],
]);

/** Says for people why a call failed. */
export function describeFailure(failure: unknown): string {
  const error = ConnectError.from(failure);
  if (error.code === Code.Unavailable) {
    return `No answer (${error.rawMessage}). Does the server run, and may pages of ${location.origin} call it?`;
  }
  return textsByReason.get(findErrorReason(error)?.reason ?? "") ?? error.rawMessage;
}
