// Calls the server at a URL again and again, some callers at once, without ever closing the connection; ends by
// itself when all have done so. What it writes is how many calls were answered.
import { setImmediate } from "node:timers/promises";
import { createNodeTransport } from "../../src/client/node.ts";
import { createUserBridgeClient } from "../../src/client/user-bridge-client.ts";

const [baseUrl = "", callers = "1", callsEach = "1"] = process.argv.slice(2);
const users = createUserBridgeClient({ transport: createNodeTransport({ baseUrl }), retry: false });

async function call(): Promise<number> {
  let answered = 0;
  for (let left = Number(callsEach); left > 0; left--) {
    await users.listUsers({}).then(
      () => (answered += 1),
      () => {},
    );
    // So that calls begin at any moment of a connection's end.
    for (let turns = left % 8; turns > 0; turns--) await setImmediate();
  }
  return answered;
}

const answered = await Promise.all(Array.from({ length: Number(callers) }, call));
process.stdout.write(`${answered.reduce((sum, count) => sum + count, 0)}\n`);
