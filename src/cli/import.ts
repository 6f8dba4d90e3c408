import { Command } from "commander";
export function importCommand(_variables: NodeJS.ProcessEnv): Command {
  return new Command("import");
}
