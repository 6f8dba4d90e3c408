import type { App } from "../app.ts";
import type { Config, ServiceName } from "../platform/config.ts";

/** What a newcomer needs to see: where it serves, on which database, and calls to paste. */
export function describeStart(app: App, config: Config): string {
  const curl = config.tls === undefined ? "curl" : "curl -k";
  const asked = config.auth === "on" ? `${curl} -H "x-api-key: $KEY"` : curl;
  const services = [...config.services];
  const internal = app.internalUrl === undefined ? "" : `internal: ${app.internalUrl}\n`;
  const access =
    config.auth === "on" ? "access:   callers need a credential, such as an API key in KEY\n" : "";
  return `user-bridge serves at ${app.url}
${internal}database: ${app.databaseDescription}
services: ${services.join(", ")}
${access}
${services.map((service) => examples[service](app.url, asked, curl)).join("")}`;
}

const json = "-H 'content-type: application/json'";

/** Calls of each service, in the order in which a newcomer would make them; `curl` is for whoever has no credential. */
const examples: Readonly<Record<ServiceName, (url: string, asked: string, curl: string) => string>> = {
  users: (url, asked) => {
    const service = `${url}/users.v1.UserService`;
    return `register: ${asked} ${service}/RegisterUser ${json} -d '{"email":"ada@example.com","username":"ada"}'
get:      ${asked} ${service}/GetUser ${json} -d '{"email":"ada@example.com"}'
stream:   printf '\\0\\0\\0\\0\\24{"start":"EARLIEST"}' | ${asked} -sN ${service}/StreamUserEvents -H 'content-type: application/connect+json' --data-binary @- --output -
`;
  },
  auth: (url, asked, curl) => {
    const service = `${url}/auth.AuthService`;
    return `account:  ${asked} ${service}/CreateUser ${json} -d '{"email":"grace@example.com","password":"nanoseconds","fullName":"Grace Hopper","isActive":true}'
log in:   ${curl} ${service}/Authenticate ${json} -d '{"email":"grace@example.com","password":"nanoseconds"}'
`;
  },
  profiles: (url, asked) =>
    `search:   ${asked} ${url}/user.UserService/SearchUsers ${json} -d '{"query":"grace"}'
`,
};
