import { Code, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import type * as v1 from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import type * as v1alpha from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import type { ReflectionFile, ReflectionIndex } from "./reflection.index.ts";
import { untilAborted } from "./reflection.requests.ts";

type ReflectionRequest = v1.ServerReflectionRequest | v1alpha.ServerReflectionRequest;
type Question = ReflectionRequest["messageRequest"];
interface ReflectionResponse<Request extends ReflectionRequest> {
  validHost: string;
  originalRequest: Request;
  messageResponse: Answer;
}
type Answer =
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string; extensionNumber: number[] } }
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "errorResponse"; value: { errorCode: Code; errorMessage: string } };

/**
 * Serves gRPC reflection from an index: the one handler for both versions, which differ in name only.
 *
 * A question without an answer is answered with an error inside the stream, which goes on. A stream remembers
 * the files it has carried, at most all of the index's.
 *
 * @param createIndex called for the first question, and once: most processes are never asked, and serializing
 * every file takes tens of milliseconds that a start can do without
 */
export function createReflectionHandler(
  createIndex: () => ReflectionIndex,
): ServiceImpl<typeof v1.ServerReflection> & ServiceImpl<typeof v1alpha.ServerReflection> {
  let index: ReflectionIndex | undefined;
  return {
    async *serverReflectionInfo<Request extends ReflectionRequest>(
      requests: AsyncIterable<Request>,
      { signal }: HandlerContext,
    ): AsyncGenerator<ReflectionResponse<Request>> {
      const sent = new Set<ReflectionFile>();
      for await (const request of untilAborted(requests, signal)) {
        index ??= createIndex();
        yield {
          validHost: request.host,
          originalRequest: request,
          messageResponse: answer(index, request.messageRequest, sent),
        };
      }
    },
  };
}

function answer(index: ReflectionIndex, question: Question, sent: Set<ReflectionFile>): Answer {
  switch (question.case) {
    case "fileByFilename":
      return fileAnswer(index.findFileByName(question.value), sent, `no file ${question.value}`);
    case "fileContainingSymbol":
      return fileAnswer(index.findFileBySymbol(question.value), sent, `no symbol ${question.value}`);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = question.value;
      const file = index.findFileByExtension(containingType, extensionNumber);
      return fileAnswer(file, sent, `no extension ${extensionNumber} of ${containingType}`);
    }
    case "allExtensionNumbersOfType": {
      const numbers = index.findExtensionNumbers(question.value);
      if (numbers === undefined) return errorAnswer(Code.NotFound, `no message ${question.value}`);
      return {
        case: "allExtensionNumbersResponse",
        value: { baseTypeName: question.value, extensionNumber: [...numbers] },
      };
    }
    case "listServices":
      return {
        case: "listServicesResponse",
        value: { service: index.serviceNames.map((name) => ({ name })) },
      };
    default:
      return errorAnswer(Code.InvalidArgument, "the request asks nothing that this server knows of");
  }
}

function fileAnswer(file: ReflectionFile | undefined, sent: Set<ReflectionFile>, missing: string): Answer {
  if (file === undefined) return errorAnswer(Code.NotFound, missing);
  // The file itself comes first and every time: clients take the first one for the answer, and an empty answer
  // for a broken server.
  const answered = new Set([file]);
  for (const { dependencies } of answered) {
    for (const dependency of dependencies) if (!sent.has(dependency)) answered.add(dependency);
  }
  for (const each of answered) sent.add(each);
  return {
    case: "fileDescriptorResponse",
    value: { fileDescriptorProto: [...answered].map((each) => each.descriptor) },
  };
}

function errorAnswer(errorCode: Code, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}
