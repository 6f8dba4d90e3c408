import { Command, InvalidArgumentError } from "commander";
import { issueServiceToken } from "./keys-database.ts";

const help = `
The token is a JWT of the type "service" with NAME as its subject, good for an hour. Machines show it to whoever
verifies by /.well-known/jwks.json; ValidateToken knows people only, and calls it invalid.

Environment: as for serve. TOKEN_ISSUER, TOKEN_AUDIENCE and KEY_ENCRYPTION_KEY must be the servers'. The embedded
database must not be in use: stop its server first.

Example:
  $ curl -H "authorization: Bearer $(user-bridge tokens service nightly-report)" https://api.example.com/`;

/** `user-bridge tokens`: issues tokens for machines. */
export function tokensCommand(variables: NodeJS.ProcessEnv): Command {
  const tokens = new Command("tokens").description("issue tokens for machines");
  tokens
    .command("service")
    .description("print a service token")
    .argument(
      "<name>",
      "the machine's name: letters, digits, dots, dashes and underscores, at most 63",
      parseName,
    )
    .addHelpText("after", help)
    .action(async (name: string) => {
      process.stdout.write(`${await issueServiceToken(variables, name)}\n`);
    });
  return tokens;
}

function parseName(text: string): string {
  if (!/^[a-zA-Z0-9][\w.-]{0,62}$/.test(text)) {
    throw new InvalidArgumentError("a name is letters, digits, dots, dashes and underscores, at most 63.");
  }
  return text;
}
