import type { Scenario } from "../harness/context.ts";
import { authenticate } from "./authenticate.ts";
import { emptyGrpc } from "./empty-grpc.ts";
import { fanOut } from "./fanout.ts";
import { getUserConnect } from "./getuser-connect.ts";
import { getUserGrpc } from "./getuser-grpc.ts";
import { growth } from "./growth.ts";
import { idle } from "./idle.ts";
import { registerGrpc } from "./register-grpc.ts";
import { start } from "./start.ts";
import { validateToken } from "./validate-token.ts";

/** All scenarios, in the order in which they run and are shown. */
export const scenarios: readonly Scenario[] = [
  getUserGrpc,
  getUserConnect,
  registerGrpc,
  emptyGrpc,
  validateToken,
  authenticate,
  fanOut,
  idle,
  growth,
  start,
];
