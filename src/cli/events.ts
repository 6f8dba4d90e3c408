import { Command } from "commander";
export function eventsCommand(_variables: NodeJS.ProcessEnv): Command {
  return new Command("events");
}
