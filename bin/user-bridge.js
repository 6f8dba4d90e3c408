#!/usr/bin/env node
// Starts the command line on a Node that runs TypeScript: the present one where it does, else the one that
// this package brings along.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import module from "node:module";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const source = new URL("../src/main.ts", import.meta.url);
// The published package has no sources: Node runs no TypeScript under node_modules.
const main = existsSync(source) ? source : new URL("../dist/src/main.js", import.meta.url);
const bundledNode = fileURLToPath(new URL("../node_modules/node/bin/node", import.meta.url));

if (process.features.typescript) {
  // As main.ts does for those who start it directly; but before the first TypeScript is read, since Node would
  // load its compiler for that one file, a twentieth of a second at each start.
  module.enableCompileCache?.(fileURLToPath(new URL("../.cache/compiled", import.meta.url)));
  await import(main.href);
} else if (existsSync(bundledNode)) {
  const child = spawn(bundledNode, [fileURLToPath(main), ...process.argv.slice(2)], { stdio: "inherit" });
  // The child decides what a signal means; this process waits for it and ends as it did.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => child.kill(signal));
  }
  child.on("error", (error) => {
    process.stderr.write(`user-bridge: cannot start ${bundledNode}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    // As a shell says it: 128 and the signal's number.
    process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
  });
} else {
  process.stderr.write(`user-bridge needs Node 22.18 or newer, and this is ${process.version}\n`);
  process.exitCode = 1;
}
