// error: TS2345
// phrase: Property 'ActionDenied' is missing
import { CyclesError } from "effect-cycles"
import * as Match from "effect/Match"

export const explain = (denied: CyclesError.Denied) =>
  Match.valueTags(denied, {
    BudgetExceeded: () => "ask for less",
    OverdraftLimitExceeded: () => "repay",
    DebtOutstanding: () => "repay",
    BudgetFrozen: () => "ask an operator",
    BudgetClosed: () => "ask an operator",
    TenantClosed: () => "ask an operator",
    UnknownDenial: () => "see the reason"
  })
