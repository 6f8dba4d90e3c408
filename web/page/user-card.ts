import type { User, UserBridgeClient } from "user-bridge/client";
import { getElement, showOutcome } from "./elements.ts";
import { describeFailure } from "./failure-text.ts";

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Lets people look a user up and change it. @param currentClient of the protocol that is chosen now */
export function setUpUserCard(currentClient: () => UserBridgeClient): void {
  const form = getElement("#look-up", HTMLFormElement);
  const output = getElement("#found", HTMLOutputElement);
  const card = getElement("#user", HTMLDListElement);
  const actions = getElement("#actions", HTMLDivElement);
  const toggle = getElement("#toggle", HTMLButtonElement);
  let shown: User | undefined;

  function show(user: User | undefined): void {
    shown = user;
    card.hidden = actions.hidden = user === undefined;
    if (user === undefined) return;
    for (const field of ["id", "email", "username", "createdAt"] as const) {
      getElement(`#user [data-of=${field}]`, HTMLElement).textContent = user[field];
    }
    toggle.textContent = user.isActive ? "Deactivate" : "Activate";
    showOutcome(output, user.isActive ? "good" : "none", user.isActive ? "Active" : "Inactive");
  }

  async function run(change: () => Promise<User | undefined>): Promise<void> {
    showOutcome(output, "none", "");
    try {
      show(await change());
    } catch (error) {
      show(undefined);
      showOutcome(output, "bad", describeFailure(error));
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const key = String(new FormData(form).get("key")).trim();
    const request = uuid.test(key) ? { id: key } : key.includes("@") ? { email: key } : { username: key };
    void run(async () => (await currentClient().getUser(request)).user);
  });
  toggle.addEventListener("click", () => {
    if (shown === undefined) return;
    const { id, isActive } = shown;
    const client = currentClient();
    void run(
      async () => (await (isActive ? client.deactivateUser({ id }) : client.activateUser({ id }))).user,
    );
  });
  getElement("#delete", HTMLButtonElement).addEventListener("click", () => {
    const id = shown?.id ?? "";
    void run(async () => {
      await currentClient().deleteUser({ id });
      return undefined;
    });
  });
}
