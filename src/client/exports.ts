// What `user-bridge/client` offers. Nothing here needs Node: it runs in browsers, too.
export { Code, ConnectError } from "@connectrpc/connect";
export type { User, UserEvent } from "../../gen/users/v1/users_pb.ts";
export { UserService } from "../../gen/users/v1/users_pb.ts";
export type { BackOff } from "./back-off.ts";
export type { Credential, CredentialOptions } from "./credential.ts";
export { type ErrorReason, type FieldFault, findErrorReason, findFieldFaults } from "./error-details.ts";
export {
  type CursorStore,
  type FollowOptions,
  type FollowStatus,
  followUserEvents,
  type UserEventType,
} from "./follow-user-events.ts";
export {
  createUserBridgeClient,
  type UserBridgeClient,
  type UserBridgeClientOptions,
} from "./user-bridge-client.ts";
export { CredentialRefusedError, UserEventsRefusedError } from "./user-events-refused.ts";
