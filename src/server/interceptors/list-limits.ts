import { type DescField, type DescMessage, getOption, isMessage, type Message } from "@bufbuild/protobuf";
import { field as rulesOf } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { FieldViolation } from "../../platform/errors.ts";

/** Where a contract sets no bound itself. */
const defaultMaxItems = 10_000;

/** Finds lists and maps of a message that are longer than its contract allows. */
export type FindLongLists = (schema: DescMessage, message: Message) => readonly FieldViolation[];

interface Limit {
  readonly field: DescField & { readonly fieldKind: "list" | "map" };
  readonly max: number;
}

/** Where to look in messages of one kind. */
interface Plan {
  readonly limits: readonly Limit[];
  readonly inner: readonly (DescField & { readonly fieldKind: "message" })[];
}

/**
 * Creates the finder: to be asked before the rules are checked, which look at each item, and name each that is wrong,
 * though there be a million too many of them. It looks at a message's own fields and at those of messages in them.
 */
export function createLongListFinder(): FindLongLists {
  const plans = new Map<DescMessage, Plan>();

  function planOf(schema: DescMessage): Plan {
    let plan = plans.get(schema);
    if (plan === undefined) {
      const limits = schema.fields.filter(isRepeated).map((field) => ({ field, max: maxItemsOf(field) }));
      plan = { limits, inner: schema.fields.filter((field) => field.fieldKind === "message") };
      plans.set(schema, plan);
    }
    return plan;
  }

  function find(schema: DescMessage, message: Message, path: string, found: FieldViolation[]): void {
    const values = message as unknown as Readonly<Record<string, unknown>>;
    const { limits, inner } = planOf(schema);
    for (const { field, max } of limits) {
      if (countItems(values[field.localName]) > max) found.push(describe(field, max, path));
    }
    for (const field of inner) {
      const value = values[field.localName];
      if (isMessage(value)) find(field.message, value, `${path}${field.name}.`, found);
    }
  }

  return (schema, message) => {
    const { limits, inner } = planOf(schema);
    if (limits.length === 0 && inner.length === 0) return none;
    const found: FieldViolation[] = [];
    find(schema, message, "", found);
    return found;
  };
}

const none: readonly FieldViolation[] = [];

function isRepeated(field: DescField): field is Limit["field"] {
  return field.fieldKind === "list" || field.fieldKind === "map";
}

function maxItemsOf(field: DescField): number {
  const { type } = getOption(field, rulesOf);
  const max = type.case === "repeated" ? type.value.maxItems : type.case === "map" ? type.value.maxPairs : 0n;
  return max === 0n || max === undefined ? defaultMaxItems : Number(max);
}

function countItems(value: unknown): number {
  return Array.isArray(value) ? value.length : Object.keys(value as object).length;
}

/** In protovalidate's own words. */
function describe({ name, fieldKind }: Limit["field"], max: number, path: string): FieldViolation {
  return fieldKind === "list"
    ? {
        field: `${path}${name}`,
        description: `must contain no more than ${max} item(s)`,
        reason: "repeated.max_items",
      }
    : { field: `${path}${name}`, description: `map must be at most ${max} entries`, reason: "map.max_pairs" };
}
