import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TokenBucket } from "../src/platform/token-bucket.ts";
import { networkOf, providerOf } from "../src/server/admission/network.ts";
import { RateLimit } from "../src/server/admission/rate-limit.ts";

const rate = fc.record({
  perSecond: fc.double({ min: 0.01, max: 1_000, noNaN: true }),
  atOnce: fc.integer({ min: 1, max: 50 }),
});

/** How far the clock goes until the next attempt: now and then, it is put back. */
const step = fc.oneof(
  { weight: 20, arbitrary: fc.double({ min: 0, max: 3_000, noNaN: true }) },
  { weight: 1, arbitrary: fc.double({ min: -5_000, max: 0, noNaN: true }) },
);
const steps = fc.array(step, { maxLength: 200, size: "max" });

test("a bucket gives no more than there is at once and what comes back, whatever its clock does", () => {
  fc.assert(
    fc.property(rate, steps, ({ perSecond, atOnce }, pauses) => {
      const bucket = new TokenBucket({ perSecond, atOnce }, 0);
      let [nowMs, forwardMs, taken] = [0, 0, 0];
      for (const pause of pauses) {
        nowMs += pause;
        forwardMs += Math.max(pause, 0);
        if (bucket.take(nowMs)) taken += 1;
        assert.ok(taken <= atOnce + (forwardMs / 1_000) * perSecond + 1e-6);
      }
    }),
  );
});

test("after the time that it says, and not before, there is one more", () => {
  fc.assert(
    fc.property(rate, fc.nat(60), (bounds, takes) => {
      const bucket = new TokenBucket(bounds, 0);
      for (let time = 0; time < takes; time++) bucket.take(0);
      const waitMs = bucket.waitMs(0);
      assert.equal(waitMs === 0, takes < bounds.atOnce);
      if (waitMs > 2) assert.equal(bucket.isLeft(waitMs - 2), false);
      assert.equal(bucket.take(waitMs), true);
    }),
  );
});

test("nobody gets more than their rate by having others fill the memory, and the memory has its bound", () => {
  const attempt = fc.record({ key: fc.nat(30), pause: fc.double({ min: 0, max: 300, noNaN: true }) });
  fc.assert(
    fc.property(rate, fc.array(attempt, { maxLength: 300, size: "max" }), (bounds, attempts) => {
      const limit = new RateLimit(bounds, { maxBuckets: 8 });
      const taken = new Map<number, number>();
      let nowMs = 0;
      for (const { key, pause } of attempts) {
        nowMs += pause;
        if (limit.take(String(key), nowMs) === 0) taken.set(key, (taken.get(key) ?? 0) + 1);
        assert.ok(limit.size <= 8);
      }
      // One who has shared a bucket may then get one of their own.
      const most = 2 * bounds.atOnce + (nowMs / 1_000) * bounds.perSecond * 2 + 1e-6;
      for (const count of taken.values()) assert.ok(count <= most, `${count} of ${most}`);
    }),
  );
});

test("any number of addresses take no more memory than there is for them, and have those who were there before not forgotten", () => {
  const limit = new RateLimit({ perSecond: 0.001, atOnce: 2 }, { maxBuckets: 1_000, widen: providerOf });
  const honest = networkOf("203.0.113.7");
  assert.equal(limit.take(honest, 0), 0);
  assert.equal(limit.take(honest, 0), 0);
  let served = 0;
  for (let site = 0; site < 200_000; site++) {
    const address = `2001:db8:${(site >>> 16).toString(16)}:${(site & 0xffff).toString(16)}::1`;
    if (limit.take(networkOf(address), site / 200) === 0) served += 1;
  }
  assert.equal(limit.size, 1_000);
  // Each of those with a bucket of their own once, and the one that the provider's others share.
  assert.ok(served <= 1_000 + 4, `${served} were served`);
  assert.ok(limit.take(honest, 1_000) > 0);
  // Others who come meanwhile mostly share with nobody, and the buckets are forgotten when they are full again.
  const newcomers = Array.from({ length: 20 }, (_, index) => limit.take(`198.${index}.100.1`, 1_000));
  assert.ok(newcomers.filter((waitMs) => waitMs === 0).length >= 15);
  const later = 10_000_000;
  for (let index = 0; index < 1_000; index++) limit.take(`192.0.${index >> 8}.${index & 255}`, later);
  assert.ok(limit.size <= 1_000);
  assert.equal(limit.take(honest, later), 0);
});

test("addresses of one /64 are one; others, and those of IPv4, are not", () => {
  const same = ["2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1:2:ffff::9"];
  assert.deepEqual([...new Set(same.map(networkOf))], ["2001:db8:1:2::"]);
  const others = ["2001:db8:1:3::1", "2001:db8::1", "::1", "2001:db8:0:0:1::", "192.0.2.1", "192.0.2.2", ""];
  assert.deepEqual(others.map(networkOf), [
    "2001:db8:1:3::",
    "2001:db8:0:0::",
    "0:0:0:0::",
    "2001:db8:0:0::",
    "192.0.2.1",
    "192.0.2.2",
    "",
  ]);
  assert.deepEqual(["2001:db8:1:2::", "0:0:0:0::", "192.0.2.1"].map(providerOf), [
    "2001:db8::",
    "0:0::",
    "192.0",
  ]);
});
