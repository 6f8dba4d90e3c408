import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

/** A file of a page, ready to be served. */
export interface PageFile {
  readonly type: string;
  readonly content: string | Uint8Array;
}

const folder = join(import.meta.dirname, "page");

/** Bundles TypeScript for browsers, with everything that it imports. @throws where it does not compile */
export async function bundleScript(entry: string): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    write: false,
    logLevel: "warning",
  });
  const [script] = outputFiles;
  if (script === undefined) throw new Error(`no bundle came of ${entry}`);
  return script.contents;
}

/** Builds the example page in memory. @returns its files by their paths */
export async function bundlePage(): Promise<ReadonlyMap<string, PageFile>> {
  const [html, css, script] = await Promise.all([
    readFile(join(folder, "index.html")),
    readFile(join(folder, "style.css")),
    bundleScript(join(folder, "main.ts")),
  ]);
  return new Map([
    ["/", { type: "text/html; charset=utf-8", content: html }],
    ["/style.css", { type: "text/css; charset=utf-8", content: css }],
    ["/main.js", { type: "text/javascript; charset=utf-8", content: script }],
  ]);
}
