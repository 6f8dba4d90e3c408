import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hashAccountPassword, logIn, setPasswords } from "../harness/accounts.ts";
import type { Contender } from "../harness/contender.ts";
import type { Context, Scenario } from "../harness/context.ts";
import { cache } from "../harness/places.ts";
import { measureRounds } from "../harness/rounds.ts";
import { findSubject } from "../harness/subject.ts";
import { emptyRequest } from "./empty-grpc.ts";
import { describeLoops, loopMetrics, measureLoops } from "./loops.ts";

/** The row of the calls that validations are compared with. */
const emptyName = "an empty handler";

/** Validates access tokens over gRPC: as fast as it goes, then at a fixed rate. */
export const validateToken: Scenario = {
  name: "validate-token",
  async run(context: Context) {
    const { options } = context;
    const { tokensFile, jwks } = await prepareTokens(context);
    const contenders = [...context.contenders, createEmptyContender(context)];
    const measured = await measureRounds(
      { ...context, contenders },
      ["validate"],
      { jwks },
      (server, contender) =>
        measureLoops(
          context,
          server,
          contender.name === emptyName
            ? { body: emptyRequest.toString("hex") }
            : { body: "validate", tokens: tokensFile },
        ),
    );
    return {
      name: "validate-token",
      title: "ValidateToken, gRPC",
      method:
        `Each call validates one of ${options.accounts.toLocaleString("en")} accounts' access tokens, in turn, and ` +
        "counts only where the answer is that it is valid and whose it is. user-bridge also knows at each call whether " +
        "the account is still active and the token unrevoked. grpc-js verifies the signature and the claims of each " +
        "by jose, with the keys in memory, and asks no further. The empty handler is user-bridge's, called as in " +
        `empty-grpc: what no validation can exceed; ${describeLoops(context)}`,
      chart: { key: "callsPerSecond", title: "ValidateToken, gRPC: calls/s" },
      metrics: loopMetrics(options),
      ...measured,
    };
  },
};

/** The service's host with a handler that does nothing, in the place of its validation. */
function createEmptyContender(context: Context): Contender {
  const subject = findSubject(context.contenders);
  return {
    ...subject,
    name: emptyName,
    capabilities: new Set(["validate"]),
    start: (role) => subject.start({ ...role, empty: true }),
  };
}

/**
 * Logs the accounts in. Their tokens are good at every process on the database from then on, since the keys that
 * sign them are kept there.
 */
async function prepareTokens(context: Context): Promise<{ tokensFile: string; jwks: string }> {
  const { options, contenders, databaseUrl } = context;
  const accounts = await setPasswords(databaseUrl, options.accounts, await hashAccountPassword());
  const server = await findSubject(contenders).start({ databaseUrl, poolSize: options.poolSize });
  try {
    const tokens = await logIn(server.address, accounts);
    const tokensFile = join(cache, "tokens");
    await mkdir(cache, { recursive: true });
    await writeFile(tokensFile, tokens.map((token, index) => `${token} ${accounts[index]?.id}\n`).join(""));
    const response = await fetch(`http://${server.http1Address}/.well-known/jwks.json`);
    return { tokensFile, jwks: await response.text() };
  } finally {
    await server.stop();
  }
}
