/** `npm run soak`: the real process under a mix of everything for some minutes, and a verdict. See docs/soak.md. */
import { writeFile } from "node:fs/promises";
import { cleanUp } from "../harness/clean-up.ts";
import { formatReport } from "./markdown.ts";
import { readSoakOptions, usage } from "./options.ts";
import { soak } from "./soak.ts";

for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.once(signal, () => void cleanUp().finally(() => process.exit(status)));
}
try {
  const options = readSoakOptions(process.argv.slice(2));
  if (options === "help") {
    process.stdout.write(usage);
  } else {
    const report = await soak(options);
    process.stdout.write(`${formatReport(report)}\n`);
    if (options.out !== undefined) await writeFile(options.out, `${JSON.stringify(report, undefined, 2)}\n`);
    process.exitCode = report.faults.length > 0 ? 1 : 0;
  }
} catch (error) {
  const text = error instanceof TypeError ? error.message : String((error as Error).stack ?? error);
  process.stderr.write(`${text}\n`);
  process.exitCode = 2;
} finally {
  await cleanUp();
}
