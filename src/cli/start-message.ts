import type { App } from "../app.ts";
import type { Config, ServiceName } from "../platform/config.ts";

/** What a newcomer needs to see: where it serves, on which database, and calls to paste. */
export function describeStart(app: App, config: Config): string {
  const curl = config.tls === undefined ? "curl" : "curl -k";
  const services = [...config.services];
  return `user-bridge serves at ${app.url}
database: ${app.databaseDescription}
services: ${services.join(", ")}

${services.map((service) => examples[service](curl, app.url)).join("")}`;
}

const json = "-H 'content-type: application/json'";

/** Calls of each service, in the order in which a newcomer would make them. */
const examples: Readonly<Record<ServiceName, (curl: string, url: string) => string>> = {
  users: (curl, url) => {
    const service = `${url}/users.v1.UserService`;
    return `register: ${curl} ${service}/RegisterUser ${json} -d '{"email":"ada@example.com","username":"ada"}'
get:      ${curl} ${service}/GetUser ${json} -d '{"email":"ada@example.com"}'
stream:   printf '\\0\\0\\0\\0\\24{"start":"EARLIEST"}' | ${curl} -sN ${service}/StreamUserEvents -H 'content-type: application/connect+json' --data-binary @- --output -
`;
  },
  auth: (curl, url) => {
    const service = `${url}/auth.AuthService`;
    return `account:  ${curl} ${service}/CreateUser ${json} -d '{"email":"grace@example.com","password":"nanoseconds","fullName":"Grace Hopper","isActive":true}'
log in:   ${curl} ${service}/Authenticate ${json} -d '{"email":"grace@example.com","password":"nanoseconds"}'
`;
  },
  profiles: (curl, url) =>
    `search:   ${curl} ${url}/user.UserService/SearchUsers ${json} -d '{"query":"grace"}'
`,
};
