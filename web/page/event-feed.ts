import {
  CredentialRefusedError,
  type FollowStatus,
  followUserEvents,
  type UserBridgeClient,
  type UserEvent,
  UserEventsRefusedError,
} from "user-bridge/client";
import { createElement, getElement } from "./elements.ts";
import { describeFailure } from "./failure-text.ts";

/** So that a page that stays open for weeks does not grow for weeks. */
const longestFeed = 1_000;

/** The live list of events. */
export interface EventFeed {
  /** Follows with this client from now on, behind the last event shown. */
  follow(client: UserBridgeClient): void;
}

/** Sets the list up. The place is kept in the tab, so that it also outlives a reload. */
export function setUpEventFeed(server: string): EventFeed {
  const list = getElement("#events", HTMLOListElement);
  const status = getElement("#status", HTMLParagraphElement);
  const place = getElement("#place", HTMLParagraphElement);
  const beginAnew = getElement("#begin-anew", HTMLButtonElement);
  const key = `cursor of ${server}`;
  const store = {
    load: () => sessionStorage.getItem(key) ?? undefined,
    save: (cursor: string) => sessionStorage.setItem(key, cursor),
  };
  let following = new AbortController();

  function showStatus(state: string, text: string, about: string): void {
    status.dataset["state"] = state;
    status.textContent = text;
    place.textContent = about;
  }

  function showProgress(progress: FollowStatus): void {
    if (progress.state === "reconnecting") {
      showStatus("reconnecting", "reconnecting", describeFailure(progress.error));
    } else if (progress.resumedFrom === undefined) {
      showStatus("live", "live", `from now on, behind event ${progress.revision}`);
    } else {
      showStatus(
        "live",
        "live, resumed",
        `behind event ${progress.revision}, from cursor ${progress.resumedFrom}`,
      );
    }
  }

  async function run(client: UserBridgeClient, signal: AbortSignal): Promise<void> {
    try {
      for await (const event of followUserEvents(client, { store, signal, onStatus: showProgress })) {
        list.prepend(createRow(event));
        if (list.childElementCount > longestFeed) list.lastElementChild?.remove();
      }
    } catch (error) {
      showStatus("refused", "refused", describeRefusal(error));
      // With another credential it goes on where it was.
      beginAnew.hidden = error instanceof CredentialRefusedError;
      beginAnew.onclick = () => {
        // Behind the oldest event that is left, or from now on.
        store.save((error instanceof UserEventsRefusedError && error.earliestCursor) || "");
        follow(client);
      };
    }
  }

  function follow(client: UserBridgeClient): void {
    following.abort();
    following = new AbortController();
    beginAnew.hidden = true;
    showStatus("connecting", "connecting", "");
    void run(client, following.signal);
  }

  return { follow };
}

function describeRefusal(error: unknown): string {
  if (error instanceof CredentialRefusedError) return describeFailure(error.cause);
  return error instanceof Error ? error.message : String(error);
}

function createRow(event: UserEvent): HTMLLIElement {
  const row = document.createElement("li");
  row.dataset["revision"] = event.revision.toString();
  row.dataset["type"] = event.type;
  const who = createElement("span", "who", event.payload?.username ?? "");
  who.append(createElement("span", "", event.payload?.email ?? ""));
  const time = createElement("time", "", new Date(event.occurredAt).toLocaleTimeString());
  time.setAttribute("datetime", event.occurredAt);
  row.append(
    createElement("span", "revision", event.revision.toString()),
    createElement("span", "type", event.type.replace("user_", "")),
    who,
    time,
  );
  return row;
}
