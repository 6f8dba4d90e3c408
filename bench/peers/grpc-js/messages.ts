/** The messages as proto-loader makes them with the options of server.ts. */
export interface User {
  readonly id: string;
  readonly email: string;
  readonly username: string;
  readonly isActive: boolean;
  readonly createdAt: string;
}

export interface GetUserRequest {
  readonly email: string;
  readonly id: string;
  readonly username: string;
}

export interface GetUserResponse {
  readonly user?: User;
}

export interface RegisterUserRequest {
  readonly email: string;
  readonly username: string;
}

export interface RegisterUserResponse {
  readonly id: string;
  readonly email: string;
  readonly username: string;
  readonly status: string;
}

export interface TokenRequest {
  readonly token: string;
}

export interface TokenValidationResponse {
  readonly isValid: boolean;
  readonly userId?: string;
  readonly isActive?: boolean;
  readonly expiresAt?: number;
}

export type UserEventsRequest = object;

export interface UserEvent {
  readonly id: string;
  readonly type: string;
  readonly payload: User;
  readonly occurredAt: string;
  readonly cursor: string;
  readonly revision: string;
}
