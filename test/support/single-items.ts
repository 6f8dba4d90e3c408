import type { LoggedEvent } from "../../src/events/event.ts";
import type { StreamItem } from "../../src/events/event-stream.ts";

/** A stream's item, events one by one. */
export type SingleItem =
  | { readonly kind: "event"; readonly event: LoggedEvent; readonly databaseId: string }
  | Extract<StreamItem, { kind: "progress" }>;

/** Takes the log's bursts apart, for those who look at each event. */
export async function* toSingleItems(items: AsyncIterable<StreamItem>): AsyncGenerator<SingleItem> {
  for await (const item of items) {
    if (item.kind === "progress") {
      yield item;
    } else {
      for (const event of item.events) yield { kind: "event", event, databaseId: item.databaseId };
    }
  }
}
