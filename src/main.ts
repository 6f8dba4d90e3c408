import { enableCompileCache } from "node:module";
import { join } from "node:path";

// Compiling what is imported takes longer than anything else at a start. Where the folder cannot be written, it
// is compiled each time.
enableCompileCache(join(import.meta.dirname, "../.cache/compiled"));

const { runProgram } = await import("./cli/program.ts");
await runProgram(process.argv, process.env);
