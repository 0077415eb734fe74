// error: TS2345
// phrase: Argument of type 'string & Brand<"IdempotencyKey">' is not assignable to parameter of type 'string & Brand<"ReservationId">'
import { BudgetAuthority } from "effect-cycles"
import type { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"

declare const key: IdempotencyKey

export const record = Effect.flatMap(
  BudgetAuthority.BudgetAuthority,
  (authority) => authority.reservation(key)
)
