import { writeSync } from "node:fs";
import { registerHooks } from "node:module";

/* Imported into a process before anything else, it says at the end which packages were loaded. */

const loaded = new Set<string>();

registerHooks({
  load(url, context, next) {
    const name = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
    if (name !== undefined) loaded.add(name);
    return next(url, context);
  },
});

process.on("exit", () => writeSync(1, `loaded: ${[...loaded].join(" ")}\n`));
