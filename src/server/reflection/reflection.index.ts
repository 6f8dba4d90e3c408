import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/** A .proto file as reflection hands it out. */
export interface ReflectionFile {
  /** As imports spell it, e.g. `google/protobuf/any.proto`. */
  readonly name: string;
  /** A serialized google.protobuf.FileDescriptorProto. */
  readonly descriptor: Uint8Array;
  /** What the file imports. */
  readonly dependencies: readonly ReflectionFile[];
}

/** Where everything that a server's services are made of is declared. Names are full names, without a leading dot. */
export interface ReflectionIndex {
  /** Sorted. */
  readonly serviceNames: readonly string[];
  findFileByName(fileName: string): ReflectionFile | undefined;
  /** By a message, field, oneof, enum, enum value, extension, service or method (`package.Service.Method`). */
  findFileBySymbol(symbol: string): ReflectionFile | undefined;
  findFileByExtension(extendedType: string, extensionNumber: number): ReflectionFile | undefined;
  /** Ascending, empty where nothing extends the type, undefined where there is no such message. */
  findExtensionNumbers(extendedType: string): readonly number[] | undefined;
}

/**
 * Indexes the files of these services, further files, and everything that they import.
 *
 * `furtherFiles` are those that no service imports although their messages travel inside a google.protobuf.Any,
 * as the details of errors do: a tool that cannot find them prints bytes.
 *
 * All is done here, at once, since what a client may ask for never changes while the process lives.
 */
export function createReflectionIndex(
  services: readonly DescService[],
  furtherFiles: readonly DescFile[] = [],
): ReflectionIndex {
  const files = new Map<string, ReflectionFile>();
  const filesBySymbol = new Map<string, ReflectionFile>();
  const filesByExtension = new Map<string, Map<number, ReflectionFile>>();

  function extensionsOf(extendedType: string): Map<number, ReflectionFile> {
    const extensions = filesByExtension.get(extendedType) ?? new Map<number, ReflectionFile>();
    filesByExtension.set(extendedType, extensions);
    return extensions;
  }

  function add(described: DescFile): ReflectionFile {
    const name = described.proto.name;
    const existing = files.get(name);
    if (existing !== undefined) return existing;
    const dependencies = described.dependencies.map(add);
    const file = { name, descriptor: toBinary(FileDescriptorProtoSchema, described.proto), dependencies };
    files.set(name, file);
    for (const type of nestedTypes(described)) {
      for (const symbol of symbolsOf(type)) filesBySymbol.set(symbol, file);
      if (type.kind === "message") extensionsOf(type.typeName);
      if (type.kind === "extension") extensionsOf(type.extendee.typeName).set(type.number, file);
    }
    return file;
  }

  for (const service of services) add(service.file);
  for (const file of furtherFiles) add(file);
  return {
    serviceNames: services.map((service) => service.typeName).sort(),
    findFileByName: (fileName) => files.get(fileName),
    findFileBySymbol: (symbol) => filesBySymbol.get(symbol),
    findFileByExtension: (extendedType, number) => filesByExtension.get(extendedType)?.get(number),
    findExtensionNumbers(extendedType) {
      const extensions = filesByExtension.get(extendedType);
      return extensions && [...extensions.keys()].sort((left, right) => left - right);
    },
  };
}

type NamedType = ReturnType<typeof nestedTypes> extends Iterable<infer T> ? T : never;

/** The full names that a type declares: its own, and those of its parts. */
function* symbolsOf(type: NamedType): Generator<string> {
  yield type.typeName;
  switch (type.kind) {
    case "message":
      for (const part of [...type.fields, ...type.oneofs]) yield `${type.typeName}.${part.name}`;
      break;
    case "service":
      for (const method of type.methods) yield `${type.typeName}.${method.name}`;
      break;
    case "enum": {
      // As in C++, an enum's values are named in the scope around the enum, not in the enum.
      const scope = type.parent?.typeName ?? type.file.proto.package;
      for (const value of type.values) yield scope === "" ? value.name : `${scope}.${value.name}`;
      break;
    }
  }
}
