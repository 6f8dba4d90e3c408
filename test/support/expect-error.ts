import assert from "node:assert/strict";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";

/** What a call is expected to fail with. */
export interface ExpectedError {
  readonly code: Code;
  /** The ErrorInfo's reason. */
  readonly reason?: string;
  /** The fields that BadRequest names, in order. */
  readonly fields?: readonly string[];
}

/** Waits for a call to fail and checks status, reason and fields. */
export async function expectError(call: Promise<unknown>, expected: ExpectedError): Promise<ConnectError> {
  const error = await call.then(
    (value) => assert.fail(`expected ${Code[expected.code]}, got ${String(value)}`),
    (failure: unknown) => failure,
  );
  assert.ok(error instanceof ConnectError, `not a ConnectError: ${String(error)}`);
  assert.equal(Code[error.code], Code[expected.code], error.message);
  if (expected.reason !== undefined) {
    assert.equal(error.findDetails(ErrorInfoSchema)[0]?.reason, expected.reason);
  }
  if (expected.fields !== undefined) {
    const violations = error.findDetails(BadRequestSchema)[0]?.fieldViolations ?? [];
    assert.deepEqual(
      violations.map((violation) => violation.field),
      expected.fields,
    );
  }
  return error;
}
