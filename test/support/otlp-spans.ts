import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** What a collector is sent of a span. */
export interface ExportedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: it has no parent. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: "server" | "client" | "other";
  readonly startNanos: bigint;
  readonly endNanos: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly Pick<ExportedSpan, "traceId" | "spanId">[];
  readonly status: { readonly code: number; readonly message: string };
  readonly resource: Readonly<Record<string, unknown>>;
}

/** All that is sent in one request: an ExportTraceServiceRequest (opentelemetry-proto, collector/trace/v1). */
export function readSpans(bytes: Uint8Array): ExportedSpan[] {
  return readFields(bytes)
    .messages(1)
    .flatMap((resourceSpans) => {
      const resource = readAttributes(resourceSpans.messages(1).flatMap((message) => message.messages(1)));
      return resourceSpans
        .messages(2)
        .flatMap((scopeSpans) => scopeSpans.messages(2).map((span) => readSpan(span, resource)));
    });
}

const kinds: Readonly<Record<number, ExportedSpan["kind"]>> = { 2: "server", 3: "client" };

function readSpan(span: Fields, resource: ExportedSpan["resource"]): ExportedSpan {
  const [status] = span.messages(15);
  return {
    traceId: span.hex(1),
    spanId: span.hex(2),
    traceState: span.text(3),
    parentSpanId: span.hex(4),
    name: span.text(5),
    kind: kinds[Number(span.number(6))] ?? "other",
    startNanos: span.number(7),
    endNanos: span.number(8),
    attributes: readAttributes(span.messages(9)),
    links: span.messages(13).map((link) => ({ traceId: link.hex(1), spanId: link.hex(2) })),
    status: { code: Number(status?.number(3) ?? 0n), message: status?.text(2) ?? "" },
    resource,
  };
}

function readAttributes(pairs: readonly Fields[]): Record<string, unknown> {
  return Object.fromEntries(pairs.map((pair) => [pair.text(1), readValue(pair.messages(2)[0])]));
}

function readValue(value: Fields | undefined): unknown {
  if (value?.has(2)) return value.number(2) === 1n;
  if (value?.has(3)) return Number(value.number(3));
  return value?.text(1);
}

/** The fields of a message by their numbers, without its schema. */
interface Fields {
  has(number: number): boolean;
  messages(number: number): Fields[];
  text(number: number): string;
  hex(number: number): string;
  number(number: number): bigint;
}

function readFields(bytes: Uint8Array): Fields {
  const found = new Map<number, (bigint | Uint8Array)[]>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    const value = readWire(reader, type);
    found.set(number, [...(found.get(number) ?? []), value]);
  }
  const buffers = (number: number) =>
    (found.get(number) ?? []).map((value) =>
      value instanceof Uint8Array ? Buffer.from(value) : Buffer.of(),
    );
  return {
    has: (number) => found.has(number),
    messages: (number) => buffers(number).map(readFields),
    text: (number) => buffers(number).at(-1)?.toString("utf8") ?? "",
    hex: (number) => buffers(number).at(-1)?.toString("hex") ?? "",
    number: (number) => {
      const value = found.get(number)?.at(-1);
      return typeof value === "bigint" ? value : 0n;
    },
  };
}

function readWire(reader: BinaryReader, type: WireType): bigint | Uint8Array {
  switch (type) {
    case WireType.Varint:
      return BigInt(reader.int64());
    case WireType.Bit64:
      return BigInt(reader.fixed64());
    case WireType.Bit32:
      return BigInt(reader.fixed32());
    default:
      return reader.bytes();
  }
}
