import type { DescService } from "@bufbuild/protobuf";
import { AccessService } from "../../gen/access/v1/access_pb.ts";
import { ApiKeyService } from "../../gen/apikeys/v1/apikeys_pb.ts";
import { AuditService } from "../../gen/audit/v1/audit_pb.ts";
import { AuthService } from "../../gen/auth/auth_pb.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { InternalAuthService } from "../../gen/ingestion/internal_auth_pb.ts";
import { UserService as ProfileService } from "../../gen/user/user_pb.ts";
import { UserService } from "../../gen/users/v1/users_pb.ts";

/** Every service of the product, wherever it is served. */
export const fuzzedServices: readonly DescService[] = [
  UserService,
  AuthService,
  AccessService,
  ProfileService,
  ApiKeyService,
  AuditService,
  InternalAuthService,
  Health,
  ServerReflection,
  ServerReflectionAlpha,
];
