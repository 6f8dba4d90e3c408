import type { App } from "../app.ts";
import type { Config } from "../platform/config.ts";

/** What a newcomer needs to see: where it serves, on which database, and three calls to paste. */
export function describeStart(app: App, config: Config): string {
  const curl = config.tls === undefined ? "curl" : "curl -k";
  const service = `${app.url}/users.v1.UserService`;
  const json = "-H 'content-type: application/json'";
  return `user-bridge serves at ${app.url}
database: ${app.databaseDescription}

register: ${curl} ${service}/RegisterUser ${json} -d '{"email":"ada@example.com","username":"ada"}'
get:      ${curl} ${service}/GetUser ${json} -d '{"email":"ada@example.com"}'
stream:   printf '\\0\\0\\0\\0\\24{"start":"EARLIEST"}' | ${curl} -sN ${service}/StreamUserEvents -H 'content-type: application/connect+json' --data-binary @- --output -
`;
}
