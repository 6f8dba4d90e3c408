import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { defaultLoginRules } from "../src/auth/login-rules.ts";

test("docs/logins.md has the numbers that the program has", async () => {
  const text = await readFile(new URL("../docs/logins.md", import.meta.url), "utf8");
  const { accountAtAddress, address, account } = defaultLoginRules;
  const rows = [
    ["an account at an address", accountAtAddress],
    ["an address", address],
    ["an account", account],
  ] as const;
  for (const [what, rule] of rows) {
    const cells = [
      what,
      rule.free,
      describeMs(rule.shortestMs),
      describeMs(rule.longestMs),
      describeMs(rule.memoryMs),
    ];
    assert.ok(text.includes(`| ${cells.join(" | ")} |`), `no row ${cells.join(" | ")}`);
  }
});

function describeMs(value: number): string {
  const units = [
    [3_600_000, "h"],
    [60_000, "min"],
    [1_000, "s"],
  ] as const;
  const [size, name] = units.find(([unit]) => value % unit === 0) ?? [1, "ms"];
  return `${value / size} ${name}`;
}
