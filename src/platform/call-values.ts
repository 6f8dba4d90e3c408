import type { ContextKey, ContextValues } from "@connectrpc/connect";
import { type CallScope, callScope } from "./call-scope.ts";

/**
 * The values of a call's context, of which every call has one, its scope, and hardly any has more. What Connect itself
 * makes has three functions of its own for each call, and looks its one value up as if there were many.
 */
export class CallValues implements ContextValues {
  #scope: CallScope | undefined;
  #others: Map<symbol, unknown> | undefined;

  constructor(scope: CallScope) {
    this.#scope = scope;
  }

  get<T>(key: ContextKey<T>): T {
    if (key.id === callScope.id) return (this.#scope ?? key.defaultValue) as T;
    return this.#others?.has(key.id) === true ? (this.#others.get(key.id) as T) : key.defaultValue;
  }

  set<T>(key: ContextKey<T>, value: T): this {
    if (key.id === callScope.id) {
      this.#scope = value as CallScope;
    } else {
      this.#others ??= new Map();
      this.#others.set(key.id, value);
    }
    return this;
  }

  delete(key: ContextKey<unknown>): this {
    if (key.id === callScope.id) this.#scope = undefined;
    else this.#others?.delete(key.id);
    return this;
  }
}
