import { createUserBridgeClient, type UserBridgeClient } from "user-bridge/client";
import { getElement } from "./elements.ts";
import { setUpEventFeed } from "./event-feed.ts";
import { setUpRegisterForm } from "./register-form.ts";
import { setUpUserCard } from "./user-card.ts";

// ?server= says where the bridge is: its own origin, not this page's. Nothing stands in between.
const address = new URL(location.href);
const server = address.searchParams.get("server") ?? "http://127.0.0.1:8080";
getElement("#server", HTMLElement).textContent = server;

const feed = setUpEventFeed(server);
// Kept in this page alone: what is in the tab's storage outlives it.
const credential = getElement("#credential", HTMLInputElement);
let client: UserBridgeClient;

function speak(protocol: "grpc-web" | "connect"): void {
  const options = { baseUrl: server, protocol };
  const text = credential.value.trim();
  credential.setCustomValidity("");
  try {
    client = createUserBridgeClient({ ...options, ...(text !== "" && { credential: text }) });
  } catch (error) {
    credential.setCustomValidity(error instanceof Error ? error.message : String(error));
    credential.reportValidity();
    client = createUserBridgeClient(options);
  }
  feed.follow(client);
}

const choices = [...document.querySelectorAll<HTMLInputElement>("input[name=protocol]")];
for (const choice of choices) {
  choice.addEventListener("change", () => {
    address.searchParams.set("protocol", choice.value);
    history.replaceState(null, "", address);
    speak(choice.value === "connect" ? "connect" : "grpc-web");
  });
}
const chosen = address.searchParams.get("protocol") === "connect" ? "connect" : "grpc-web";
for (const choice of choices) choice.checked = choice.value === chosen;

credential.addEventListener("change", () => {
  const choice = choices.find(({ checked }) => checked);
  speak(choice?.value === "connect" ? "connect" : "grpc-web");
});

speak(chosen);
setUpRegisterForm(() => client);
setUpUserCard(() => client);
