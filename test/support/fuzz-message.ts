import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { textsFor, type Vocabulary } from "./fuzz-text.ts";

/** One message in both of its forms. What one form cannot say (a lone surrogate, 1e400) it says as well as it can. */
export interface EncodedMessage {
  readonly binary: Uint8Array;
  readonly json: string;
}

/** A value of a field, as it stands behind the field's tag and behind the field's name. */
interface EncodedValue {
  readonly wireType: WireType;
  readonly write: (writer: BinaryWriter) => void;
  readonly json: string;
}

/** Deeper than any of our messages nests. */
const maxDepth = 4;

/** JSON that belongs into hardly any field. */
const oddJson = fc.constantFrom("null", "{}", "[]", "true", "1e400", "-1", '"x"', '{"a":[1]}', '"\\ud800"');

/** Any message of a type that decodes, more or less: some values are none of their field. */
export function messagesOf(
  desc: DescMessage,
  vocabulary: Vocabulary,
  depth = maxDepth,
): fc.Arbitrary<EncodedMessage> {
  const fields = desc.fields.map((field) =>
    fc.option(fieldOf(field, vocabulary, depth), { freq: 3, nil: undefined }),
  );
  const extra = fc.option(
    fc.tuple(fc.integer({ min: 1, max: 2 ** 29 - 1 }), fc.uint8Array({ maxLength: 9 })),
    {
      freq: 1,
      nil: undefined,
    },
  );
  return fc.tuple(extra, fc.boolean(), fc.tuple(...fields)).map(([unknown, reverse, written]) => {
    const present = written.filter((field) => field !== undefined);
    if (reverse) present.reverse();
    const writer = new BinaryWriter();
    for (const field of present) field.write(writer);
    if (unknown !== undefined && desc.fields.every((field) => field.number !== unknown[0])) {
      writer.tag(unknown[0], WireType.LengthDelimited).bytes(unknown[1]);
    }
    return {
      binary: writer.finish(),
      json: `{${present.map((field) => field.json).join(",")}}`,
    };
  });
}

/** Types whose JSON is a text of their own. */
const wellKnown: Readonly<Record<string, readonly string[]>> = {
  "google.protobuf.Timestamp": [
    '"2025-01-01T00:00:00Z"',
    '"9999-12-31T23:59:59.999999999Z"',
    '"0000-00"',
    "0",
  ],
  "google.protobuf.Duration": ['"1s"', '"0.1s"', '"-315576000000s"', '"1"', '"99999999999999s"', "1"],
  "google.protobuf.FieldMask": ['"email"', '"email,username"', '""', '"a_b"', '"user.email"', '","', "[]"],
};

function fieldOf(field: DescField, vocabulary: Vocabulary, depth: number) {
  const values =
    field.fieldKind === "list"
      ? fc.oneof(
          { weight: 9, arbitrary: fc.array(oneValueOf(field, vocabulary, depth), { maxLength: 4 }) },
          {
            weight: 1,
            arbitrary: oneValueOf(field, vocabulary, depth).map((value) => Array(1_100).fill(value)),
          },
        )
      : fc.array(oneValueOf(field, vocabulary, depth), {
          minLength: 1,
          maxLength: field.fieldKind === "map" ? 3 : 1,
        });
  const name = fc.constantFrom(field.jsonName, field.name);
  const odd = fc.option(oddJson, { freq: 30, nil: undefined });
  return fc.tuple(values as fc.Arbitrary<EncodedValue[]>, name, odd).map(([list, key, replaced]) => {
    const joined = list.map((value) => value.json).join(",");
    const json =
      field.fieldKind === "list" ? `[${joined}]` : field.fieldKind === "map" ? `{${joined}}` : joined;
    return {
      write: (writer: BinaryWriter) => {
        for (const value of list) value.write(writer.tag(field.number, value.wireType));
      },
      json: `${JSON.stringify(key)}:${replaced ?? json}`,
    };
  });
}

function oneValueOf(field: DescField, vocabulary: Vocabulary, depth: number): fc.Arbitrary<EncodedValue> {
  if (field.fieldKind === "map") return mapEntryOf(field, vocabulary);
  if (field.message !== undefined) {
    const messages =
      depth === 0
        ? fc.constant({ binary: new Uint8Array(), json: "{}" })
        : messagesOf(field.message, vocabulary, depth - 1);
    const texts = wellKnown[field.message.typeName] ?? [undefined];
    return fc.tuple(messages, fc.constantFrom(...texts)).map(([message, text]) => ({
      wireType: WireType.LengthDelimited,
      write: (writer) => void writer.bytes(message.binary),
      json: text ?? message.json,
    }));
  }
  if (field.enum !== undefined) {
    const numbers = field.enum.values.map((value) => value.number);
    return fc.constantFrom(...numbers, -1, 99, 2 ** 31 - 1, -(2 ** 31)).map((number) => ({
      wireType: WireType.Varint,
      write: (writer) => void writer.int32(number),
      json: String(number),
    }));
  }
  return scalarOf(field.scalar as ScalarType, field.name, vocabulary);
}

function mapEntryOf(
  field: DescField & { fieldKind: "map" },
  vocabulary: Vocabulary,
): fc.Arbitrary<EncodedValue> {
  const keys = scalarOf(field.mapKey, "key", vocabulary);
  const values = scalarOf(field.scalar ?? ScalarType.STRING, field.name, vocabulary);
  return fc.tuple(keys, values).map(([key, value]) => {
    const entry = new BinaryWriter();
    key.write(entry.tag(1, key.wireType));
    value.write(entry.tag(2, value.wireType));
    const bytes = entry.finish();
    const name = key.json.startsWith('"') ? key.json : `"${key.json}"`;
    return {
      wireType: WireType.LengthDelimited,
      write: (writer) => void writer.bytes(bytes),
      json: `${name}:${value.json}`,
    };
  });
}

function scalarOf(type: ScalarType, name: string, vocabulary: Vocabulary): fc.Arbitrary<EncodedValue> {
  switch (type) {
    case ScalarType.STRING:
      return textsFor(name, vocabulary).map((text) => ({
        wireType: WireType.LengthDelimited,
        write: (writer) => void writer.bytes(toWtf8(text)),
        json: JSON.stringify(text),
      }));
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 40 }).map((bytes) => ({
        wireType: WireType.LengthDelimited,
        write: (writer) => void writer.bytes(bytes),
        json: JSON.stringify(Buffer.from(bytes).toString("base64")),
      }));
    case ScalarType.BOOL:
      return fc.boolean().map((value) => ({
        wireType: WireType.Varint,
        write: (writer) => void writer.bool(value),
        json: String(value),
      }));
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return fc.double().map((value) => ({
        wireType: type === ScalarType.DOUBLE ? WireType.Bit64 : WireType.Bit32,
        write: (writer) => void (type === ScalarType.DOUBLE ? writer.double(value) : writer.float(value)),
        json: Number.isFinite(value) ? String(value) : `"${value}"`,
      }));
    default:
      return integers.map((value) => ({
        wireType: WireType.Varint,
        write: (writer) => void writer.uint64(BigInt.asUintN(64, value)),
        json: value > -1_000n && value < 1_000n ? String(value) : `"${value}"`,
      }));
  }
}

const integers = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(0n, 1n, 2n, 50n, 1_001n) },
  fc.constantFrom(0n, 1n, -1n, 50n, 2n ** 31n - 1n, -(2n ** 31n), 2n ** 32n, 2n ** 63n - 1n, -(2n ** 63n)),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
);

/** UTF-8, but surrogates that stand alone are kept, as three bytes that no decoder may take. */
function toWtf8(text: string): Uint8Array {
  const parts = [...text].map((character) => {
    const point = character.codePointAt(0) as number;
    return point >= 0xd800 && point < 0xe000
      ? Buffer.from([0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f)])
      : Buffer.from(character);
  });
  return Buffer.concat(parts);
}
