import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { UserService } from "../../gen/users/v1/users_pb.ts";

/** What a form is told after it was sent. */
export type FormState =
  | { readonly state: "registered"; readonly id: string }
  | { readonly state: "wrong"; readonly fields: Readonly<Record<string, string>> }
  | { readonly state: "try again" };

const takenFields = new Map([
  ["EMAIL_TAKEN", "email"],
  ["USERNAME_TAKEN", "username"],
]);

/**
 * The server actions of a web framework, as its users write them with connect-node alone: one transport for
 * the process, one call for each form.
 */
export function createServerActions(transport: Transport, timeoutMs: number) {
  const users = createClient(UserService, transport);

  /** @param signal aborts when the browser leaves */
  async function registerUser(form: FormData, signal?: AbortSignal): Promise<FormState> {
    const [email, username] = [String(form.get("email")), String(form.get("username"))];
    try {
      const { id } = await users.registerUser({ email, username }, { timeoutMs, ...(signal && { signal }) });
      return { state: "registered", id };
    } catch (error) {
      return toFormState(ConnectError.from(error));
    }
  }

  return { registerUser, findUser: async (id: string) => (await users.getUser({ id }, { timeoutMs })).user };
}

function toFormState(error: ConnectError): FormState {
  if (error.code === Code.InvalidArgument) {
    const faults = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
    const fields = faults.map((fault) => [fault.field, fault.description] as const);
    return { state: "wrong", fields: Object.fromEntries(fields) };
  }
  const field = takenFields.get(error.findDetails(ErrorInfoSchema)[0]?.reason ?? "");
  if (field !== undefined) {
    return { state: "wrong", fields: { [field]: "is taken" } };
  }
  if (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded) {
    return { state: "try again" };
  }
  throw error;
}
