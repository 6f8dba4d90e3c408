import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { cleanUpAfter } from "../support/clean-up.ts";
import { backends } from "../support/databases.ts";
import { expectError } from "../support/expect-error.ts";
import { openTcpProxy } from "../support/tcp-proxy.ts";
import { useTestApp } from "../support/test-app.ts";
import { startScriptedServer } from "./scripted-server.ts";
import { createServerActions, type FormState } from "./server-action.ts";

function fillForm(email: string, username: string): FormData {
  const form = new FormData();
  form.set("email", email);
  form.set("username", username);
  return form;
}

const fieldsOf = (answer: FormState) => (answer.state === "wrong" ? Object.keys(answer.fields) : []);

const timeoutMs = 20_000;
const transports = {
  gRPC: (baseUrl: string) => createGrpcTransport({ baseUrl }),
  "gRPC-Web": (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
  Connect: (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "2" }),
  "Connect over HTTP/1.1": (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
};

const [backend] = backends;
assert.ok(backend);

describe("a server action with connect-node", () => {
  const app = useTestApp(backend);

  for (const [index, [name, createTransport]] of Object.entries(transports).entries()) {
    test(`over ${name} registers, tells the form its faults, and finds the server again`, async (t) => {
      const { hostname, port } = new URL(app.url);
      const proxy = await openTcpProxy(hostname, Number(port));
      cleanUpAfter(t, proxy.close);
      const actions = createServerActions(createTransport(`http://127.0.0.1:${proxy.port}`), timeoutMs);
      const username = `action${index}`;
      const email = `${username}@example.com`;

      const registered = await actions.registerUser(fillForm(email, username));
      assert.equal(registered.state, "registered");
      assert.equal((await actions.findUser(registered.id))?.email, email);
      const wrong = await actions.registerUser(fillForm("no", "9"));
      assert.deepEqual(fieldsOf(wrong), ["email", "username"]);
      assert.deepEqual(fieldsOf(await actions.registerUser(fillForm(email, `${username}b`))), ["email"]);
      const taken = await actions.registerUser(fillForm(`b${email}`, username));
      assert.deepEqual(fieldsOf(taken), ["username"]);

      await proxy.cut();
      const lost = await actions.registerUser(fillForm(`c${email}`, `${username}c`)).catch(() => undefined);
      assert.notEqual(lost?.state, "registered");
      assert.equal((await actions.registerUser(fillForm(email, username))).state, "try again");
      await proxy.mend();
      assert.equal((await actions.findUser(registered.id))?.username, username);
    });
  }

  test("shares one connection among many requests at once", async () => {
    const actions = createServerActions(createGrpcTransport({ baseUrl: app.url }), timeoutMs);
    const names = Array.from({ length: 150 }, (_, index) => `many${index}`);
    const answers = await Promise.all(
      names.map((name) => actions.registerUser(fillForm(`${name}@example.com`, name))),
    );
    const ids = answers.map((answer) => (answer.state === "registered" ? answer.id : answer.state));
    assert.equal(new Set(ids).size, names.length);
    const users = await Promise.all(ids.map((id) => actions.findUser(id)));
    assert.deepEqual(
      users.map((user) => user?.username),
      names,
    );
  });

  test("waits no longer than its deadline, and no longer than the browser", async (t) => {
    const silent = await startScriptedServer(() => "silence");
    cleanUpAfter(t, silent.close);
    const transport = createConnectTransport({ baseUrl: silent.url, httpVersion: "1.1" });
    const form = fillForm("ada@example.com", "ada");
    const hasty = createServerActions(transport, 100);
    assert.equal((await hasty.registerUser(form)).state, "try again");
    const browser = new AbortController();
    const left = createServerActions(transport, timeoutMs).registerUser(form, browser.signal);
    browser.abort();
    await expectError(left, { code: Code.Canceled });
  });
});
