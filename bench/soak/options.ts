import { parseArgs } from "node:util";

/** How long and how hard to run, and on what. */
export interface SoakOptions {
  readonly seconds: number;
  /** Repeats the choices, not the interleaving of what runs at once. */
  readonly seed: number;
  /** Calls a second, of all kinds together. */
  readonly rate: number;
  readonly database: { readonly kind: "own" | "embedded" } | { readonly kind: "url"; readonly url: string };
  /** Where the report goes as JSON; undefined: nowhere. */
  readonly out: string | undefined;
  /** What to get wrong on purpose, to see that the run fails by it. */
  readonly plant: Plant | undefined;
}

/** A fault of the run's own making. */
export type Plant = "lost-event" | "lost-write" | "leak";

const plants: readonly string[] = ["lost-event", "lost-write", "leak"] satisfies Plant[];

/** What `--help` says. */
export const usage = `npm run soak -- [options]
  --minutes N      how long, 2 by default; --seconds N for less
  --rate N         calls a second, 150 by default
  --seed N         which calls; a random one by default
  --postgres URL   a server on which to make a database; by default one is started, or else
  --embedded       the embedded database
  --out FILE       the report as JSON
  --plant WHAT     ${plants.join(", ")}: break something on purpose; the run must fail
`;

/** Reads the command line. @throws TypeError where it is wrong */
export function readSoakOptions(commandLine: readonly string[]): SoakOptions | "help" {
  const { values } = parseArgs({
    args: [...commandLine],
    options: {
      minutes: { type: "string" },
      seconds: { type: "string" },
      rate: { type: "string" },
      seed: { type: "string" },
      postgres: { type: "string" },
      embedded: { type: "boolean", default: false },
      out: { type: "string" },
      plant: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return "help";
  const { plant, postgres, embedded } = values;
  if (plant !== undefined && !plants.includes(plant)) {
    throw new TypeError(`--plant must be one of ${plants.join(", ")}, not "${plant}"`);
  }
  const minutes = readNumber("--minutes", values.minutes, 2);
  return {
    seconds: readNumber("--seconds", values.seconds, minutes * 60),
    seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed),
    rate: readNumber("--rate", values.rate, 150),
    database:
      postgres === undefined ? { kind: embedded ? "embedded" : "own" } : { kind: "url", url: postgres },
    out: values.out,
    plant: plant as Plant | undefined,
  };
}

function readNumber(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!(value > 0)) throw new TypeError(`${name} must be a number above 0, not "${text}"`);
  return value;
}
