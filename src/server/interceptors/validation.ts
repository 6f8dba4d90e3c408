import type { DescMessage, Message } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator, type Validator } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { withMessage } from "../../lane/messages.ts";
import { passThrough } from "../../lane/pass-through.ts";
import { type FieldViolation, InvalidInputError } from "../../platform/errors.ts";
import { createLongListFinder, type FindLongLists } from "./list-limits.ts";

/**
 * Checks every request against the rules in its .proto file.
 *
 * @throws (to the caller) InvalidInputError that names each field at fault
 */
export function createValidationInterceptor(): Interceptor {
  const checks: Checks = {
    findLongLists: createLongListFinder(),
    validator: createValidator({ regexMatch: matches }),
  };
  return passThrough((next) => (request) => {
    if (!request.stream) {
      validate(checks, request.method.input, request.message);
      return next(request);
    }
    return next(withMessage(request, validateEach(checks, request.method.input, request.message)));
  });
}

interface Checks {
  readonly findLongLists: FindLongLists;
  readonly validator: Validator;
}

const expressions = new Map<string, RegExp>();

/**
 * Matches with the platform's own engine, which is many times as fast as the default. The default, RE2, guards
 * against patterns that backtrack; patterns are part of our contract, and none does.
 */
function matches(pattern: string, text: string): boolean {
  let expression = expressions.get(pattern);
  if (expression === undefined) {
    expression = new RegExp(pattern, "u");
    expressions.set(pattern, expression);
  }
  return expression.test(text);
}

async function* validateEach<T extends Message>(
  checks: Checks,
  schema: DescMessage,
  messages: AsyncIterable<T>,
): AsyncGenerator<T> {
  for await (const message of messages) {
    validate(checks, schema, message);
    yield message;
  }
}

function validate({ findLongLists, validator }: Checks, schema: DescMessage, message: Message): void {
  const long = findLongLists(schema, message);
  if (long.length > 0) throw new InvalidInputError(long);
  const result = validator.validate(schema, message);
  if (result.kind === "invalid") {
    throw new InvalidInputError(
      result.violations.map(
        (violation): FieldViolation => ({
          field: violation.field.length === 0 ? schema.name : pathToString(violation.field),
          description: violation.message,
          reason: violation.ruleId,
        }),
      ),
    );
  }
  if (result.kind === "error") {
    throw result.error;
  }
}
