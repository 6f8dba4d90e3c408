import type { TestContext } from "node:test";

const stacks = new WeakMap<TestContext, AsyncDisposableStack>();

/** Undoes something after the test: what was registered last is undone first, each even if another failed. */
export function cleanUpAfter(t: TestContext, cleanUp: () => Promise<unknown> | unknown): void {
  let stack = stacks.get(t);
  if (stack === undefined) {
    const created = new AsyncDisposableStack();
    stacks.set(t, created);
    t.after(() => created.disposeAsync());
    stack = created;
  }
  stack.defer(async () => {
    await cleanUp();
  });
}
