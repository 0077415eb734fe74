// How the operations of the governance plane answer.
import type { Found } from "effect-cycles/ledger/Governance"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Errors from "../../Errors.ts"
import type { Governor } from "../../governance/Access.ts"
import { answer, Malformed } from "../answering.ts"

/** How much is read of a request. */
export interface Limits {
  readonly maxRequestBytes: number
}

/** Answers an operation with a reply, or with its error in the words of the governance plane. */
export const governed = <A, I>(operation: string, reply: Schema.Codec<A, I>, status = 200) =>
  answer(reply, status, (error, correlation) => Errors.toGovernanceResponse(operation, error, correlation))

type Given<A> =
  & { readonly [K in keyof A as undefined extends A[K] ? never : K]: A[K] }
  & { readonly [K in keyof A as undefined extends A[K] ? K : never]?: Exclude<A[K], undefined> }

/** Without the members that are `undefined`. */
export const given = <A extends object>(value: A): Given<A> =>
  // What is left out is what its type says may be absent.
  Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Given<A>

/** A page in the form of the wire; what it lists is up to the operation. */
export const pageOf = <A, B>(
  { cursor, items }: Found<A>,
  toWire: (item: A) => B
): { readonly items: ReadonlyArray<B>; readonly has_more: boolean; readonly next_cursor?: string } => ({
  items: items.map(toWire),
  has_more: cursor !== undefined,
  ...(cursor === undefined ? undefined : { next_cursor: cursor })
})

/** The tenant an operator has to name, and a principal must not. */
export const tenantOf = (governor: Governor, named: string | undefined): Effect.Effect<string, Malformed> => {
  if (governor._tag === "operator") {
    return named === undefined
      ? Effect.fail(new Malformed({ field: "tenant_id", reason: "it must be given with an admin key" }))
      : Effect.succeed(named)
  }
  return named === undefined
    ? Effect.succeed(governor.principal.tenant)
    : Effect.fail(new Malformed({ field: "tenant_id", reason: "it must not be given: the tenant is that of the key" }))
}
