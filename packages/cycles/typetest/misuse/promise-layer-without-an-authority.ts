// error: TS2375
// phrase: Type 'Layer<Budget, never, BudgetAuthority>' is not assignable to type 'Layer<BudgetAuthority,
import { Budget, makePromiseClient } from "effect-cycles"

// The client makes its own Budget; what it needs is an authority.
export const client = makePromiseClient({ layer: Budget.layer() })
