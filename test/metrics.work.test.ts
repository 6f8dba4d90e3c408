import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { callAs } from "./support/callers.ts";
import { backends } from "./support/databases.ts";
import { type Exposition, scrape, sumOf } from "./support/exposition.ts";
import { startGuardedApp } from "./support/test-app.ts";
import { withDeadline } from "./support/with-deadline.ts";

for (const backend of backends) {
  describe(`metrics of what goes on behind the calls, ${backend.name}`, () => {
    test("tell of batches, of the log, of idempotency keys and of refusals", async (t) => {
      const app = await startGuardedApp((end) => t.after(end), backend);
      const transport = createGrpcTransport({ baseUrl: app.url });
      const { users } = callAs(app.url, app.headers, transport);
      const before = await scrape(app.internalUrl);
      const leaving = new AbortController();
      t.after(() => leaving.abort());
      const stream = users.streamUserEvents(
        { progressInterval: { seconds: 60n } },
        { signal: leaving.signal },
      );
      const events = stream[Symbol.asyncIterator]();
      await withDeadline("the stream", events.next());
      const headers = { "idempotency-key": "0123456789abcdef0123456789abcdef" };
      const user = { email: "ada@example.com", username: "ada_x" };
      const first = await users.registerUser(user, { headers });
      assert.deepEqual(await users.registerUser(user, { headers }), first);
      await withDeadline("the event", events.next());
      await users.getUser({ email: user.email });
      const stranger = callAs(app.url, {}, transport);
      await assert.rejects(stranger.users.getUser({ email: user.email }));
      const after = await scrape(app.internalUrl);
      const grown = (name: string, labels = {}) => grewBy(before, after, `user_bridge_${name}`, labels);

      assert.equal(grown("idempotent_answers_kept_total"), 1);
      assert.equal(grown("idempotent_repetitions_total"), 1);
      assert.equal(grown("log_events_delivered_total"), 1);
      assert.ok(grown("log_ring_reads_total", { result: "hit" }) >= 1);
      assert.ok(grown("log_delay_seconds_count") >= 1);
      // The repetition is refused by the database, alone, after it has been tried with others.
      assert.ok(grown("batch_size_sum", { batch: "registrations" }) >= 2);
      assert.ok(grown("batch_size_sum", { batch: "look-ups" }) >= 1);
      assert.equal(grown("audit_refusals_total", { kept: "singly" }), 1);
      assert.equal(sumOf(after, "user_bridge_password_hashes_running"), 0);
      assert.equal(sumOf(after, "user_bridge_password_hashes_waiting"), 0);
    });
  });
}

function grewBy(before: Exposition, after: Exposition, name: string, labels: Record<string, string>): number {
  return sumOf(after, name, labels) - sumOf(before, name, labels);
}
