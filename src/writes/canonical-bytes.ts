import { clone, type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import { type ReflectMap, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";

/**
 * A message's bytes, the same for all that say the same: whatever protocol and codec it came by, and whatever order
 * its maps came in, which Go's encoder shuffles each time.
 */
export function canonicalBytes(schema: DescMessage, message: Message): Uint8Array {
  const copy = clone(schema, message);
  sortMaps(reflect(schema, copy));
  return toBinary(schema, copy);
}

function sortMaps(message: ReflectMessage): void {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    if (field.fieldKind === "map") {
      sortMap(message.get(field));
    } else if (field.fieldKind === "message") {
      sortMaps(message.get(field));
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of message.get(field)) sortMaps(item as ReflectMessage);
    }
  }
}

function sortMap(map: ReflectMap): void {
  const entries = [...map].sort(([one], [other]) => compareTexts(String(one), String(other)));
  map.clear();
  for (const [key, value] of entries) {
    map.set(key, value);
    if (map.field().mapKind === "message") sortMaps(value as ReflectMessage);
  }
}

function compareTexts(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
