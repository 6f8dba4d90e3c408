/**
 * Makes errors that have no stack. To take a stack down costs ten times as much as all else about an error that is an
 * ordinary answer, and there is nothing in it to be read: a flood of refusals must not cost more than it saves.
 *
 * @param make must be synchronous
 */
export function withoutStack<Result>(make: () => Result): Result {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}
