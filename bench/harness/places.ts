import { join } from "node:path";

/** The repository's folder. */
export const repository = join(import.meta.dirname, "../..");

/** The benchmarks' folder. */
export const bench = join(repository, "bench");

/** What is built on the way and may be removed at any time. */
export const cache = join(repository, ".cache/bench");
