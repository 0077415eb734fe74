/**
 * What every face of a ledger is built on: commands that go through their tenant's lane, and lists read there.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Trouble } from "../protocol/CyclesError.ts"
import type { LedgerTx, Operations, StoreError } from "./LedgerStore.ts"
import type { Refusal } from "./Refusal.ts"
import type { Cause, Command } from "./rules/Command.ts"
import type * as ScopePath from "./ScopePath.ts"
import type { View } from "./View.ts"

/** Reads in the transaction; the view knows who may see what. */
export type Reader<A> = (tx: LedgerTx, view: View) => Effect.Effect<A, StoreError>

export interface Engine {
  /** The reply is of the type the command's rule returns; which errors it can have is fixed there as well. */
  readonly execute: <A, E>(command: Command) => Effect.Effect<A, E>
  /** Reads after everything was written or, where it `changes` the view by what it reads, before that. */
  readonly list: <A>(cause: Cause, body: Reader<A>, changes?: boolean) => Effect.Effect<A, Trouble>
  readonly store: Operations
  /** The scopes a subject spends from. */
  readonly scopesOf: ScopePath.Derive
}

/** A command, or the audit of a request that is none. */
export const submit = <A, E>(
  engine: Engine,
  cause: Cause,
  command: Result.Result<Command, Refusal>
): Effect.Effect<A, E> =>
  engine.execute<A, E>(
    Result.isSuccess(command)
      ? command.success
      : { _tag: "Govern", cause, order: { _tag: "Refuse", refusal: command.failure } }
  )
