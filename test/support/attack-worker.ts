import { parentPort, workerData } from "node:worker_threads";

/** A thread that attacks, so that neither the server nor its neighbour waits for it. */
const { module, group, name, url, connections } = workerData as Readonly<Record<string, string>> & {
  readonly connections: number;
};
const groups = (await import(module as string)) as Record<
  string,
  Record<string, (url: string) => Promise<unknown>>
>;
const attack = groups[group as string]?.[name as string];
if (attack === undefined) throw new Error(`there is no attack ${group}.${name}`);
parentPort?.postMessage(await Promise.all(Array.from({ length: connections }, () => attack(url as string))));
