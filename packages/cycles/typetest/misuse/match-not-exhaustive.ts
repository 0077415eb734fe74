// error: TS2345
// phrase: Type 'ActionDenied' is not assignable to type 'never'
import { CyclesError } from "effect-cycles"
import * as Match from "effect/Match"

export const explain = Match.type<CyclesError.Denied>().pipe(
  Match.tag("BudgetExceeded", () => "ask for less"),
  Match.tag("OverdraftLimitExceeded", "DebtOutstanding", () => "repay"),
  Match.tag("BudgetFrozen", "BudgetClosed", "TenantClosed", () => "ask an operator"),
  Match.tag("UnknownDenial", () => "see the reason"),
  Match.exhaustive
)
