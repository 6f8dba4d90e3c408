import { findFieldFaults, type UserBridgeClient } from "user-bridge/client";
import { getElement, showOutcome } from "./elements.ts";
import { describeFailure } from "./failure-text.ts";

/** Lets people register. @param currentClient of the protocol that is chosen now */
export function setUpRegisterForm(currentClient: () => UserBridgeClient): void {
  const form = getElement("#register", HTMLFormElement);
  const output = getElement("#registered", HTMLOutputElement);
  const faults = [...form.querySelectorAll<HTMLElement>(".fault")];

  function showFaults(error: unknown): boolean {
    const found = findFieldFaults(error);
    for (const place of faults) {
      const fault = found.find(({ field }) => field === place.dataset["field"]);
      place.textContent = fault?.description ?? "";
    }
    return found.length > 0;
  }

  async function register(): Promise<void> {
    const values = new FormData(form);
    showOutcome(output, "none", "");
    showFaults(undefined);
    try {
      const user = await currentClient().registerUser({
        email: String(values.get("email")),
        username: String(values.get("username")),
      });
      showOutcome(output, "good", `Registered ${user.username}`);
      form.reset();
    } catch (error) {
      if (!showFaults(error)) showOutcome(output, "bad", describeFailure(error));
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void register();
  });
}
