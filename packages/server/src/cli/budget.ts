/**
 * `cycles budget`: what may be spent where.
 *
 * @internal
 */
import * as Amount from "effect-cycles/protocol/Amount"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import * as Amounts from "./Amounts.ts"
import {
  budgetAt,
  call,
  command,
  confirm,
  pages,
  read,
  reasonFlag,
  tenantFlag,
  tenantIn,
  tenantOf,
  yesFlag
} from "./client.ts"
import { limit } from "./limit.ts"
import type { Paint } from "./Output.ts"
import * as Output from "./Output.ts"
import * as Views from "./Views.ts"

const PATH = "/v1/admin/budgets"

export const scopeArgument = Argument.String("scope").pipe(
  Argument.withDescription("Where, in full: tenant:acme or tenant:acme/agent:writer")
)

const overage = Flag.Literals("overage", ["REJECT", "ALLOW_IF_AVAILABLE", "ALLOW_WITH_OVERDRAFT"]).pipe(
  Flag.withDescription("What a commit above its estimate is answered with"),
  Flag.optional
)

const overdraftFlag = Flag.String("overdraft").pipe(
  Flag.withMetavar("AMOUNT"),
  Flag.withDescription("How much debt it may make, in the budget's unit; dollars where that is money"),
  Flag.optional
)

const wordsFor = (budget: Views.Budget) => (paint: Paint): string => {
  const written = (amount: Views.Budget["spent"]) => amount === undefined ? undefined : Amount.format(amount)
  const unlessNone = (amount: Views.Budget["debt"]) => amount?.amount === 0n ? undefined : written(amount)
  return Output.facts(paint, [
    ["scope", budget.scope],
    ["status", budget.is_over_limit === true ? `${budget.status}, over its limit` : budget.status],
    ["allocated", Amount.format(budget.allocated)],
    ["spent", written(budget.spent)],
    ["held", written(budget.reserved)],
    ["debt", unlessNone(budget.debt)],
    ["remaining", Amount.format(budget.remaining)],
    ["overdraft limit", unlessNone(budget.overdraft_limit)],
    ["overage policy", budget.commit_overage_policy]
  ])
}

const show = (answer: unknown) =>
  Effect.flatMap(read(Views.Budget)(answer), (budget) => Output.print(answer, wordsFor(budget)))

const list = command(
  "list",
  {
    tenant: tenantFlag,
    under: Flag.String("under").pipe(Flag.withDescription("Only those at or below this scope"), Flag.optional)
  },
  Effect.fnUntraced(function*({ tenant, under }) {
    const tenant_id = Option.isSome(under) ? yield* tenantIn(under.value) : yield* tenantOf(tenant)
    const ledgers = yield* pages("ledgers", {
      path: PATH,
      query: { tenant_id, scope_prefix: Option.getOrUndefined(under) }
    })
    const rows = yield* read(Views.Budgets)(ledgers)
    yield* Output.print({ ledgers }, (paint) =>
      Output.table(
        paint,
        ["SCOPE", "UNIT", "STATUS", "ALLOCATED", "REMAINING"],
        rows.map(({ allocated, remaining, scope, status, unit }) => [
          scope,
          unit,
          status,
          Amount.format(allocated),
          Amount.format(remaining)
        ])
      ))
  })
).pipe(Command.withDescription("List budgets; see also cycles balances"))

const create = command(
  "create",
  { scope: scopeArgument, ...Amounts.flags, overdraft: overdraftFlag, overage },
  Effect.fnUntraced(function*({ overage, overdraft, scope, ...amounts }) {
    const tenant_id = yield* tenantIn(scope)
    const allocated = yield* Amounts.one(amounts)
    const limit = Option.isNone(overdraft)
      ? undefined
      : yield* Amounts.inUnit(allocated.unit, "--overdraft", overdraft.value)
    yield* show(
      yield* call({
        method: "POST",
        path: PATH,
        body: {
          tenant_id,
          scope,
          unit: allocated.unit,
          allocated,
          overdraft_limit: limit,
          commit_overage_policy: Option.getOrUndefined(overage)
        }
      })
    )
  })
).pipe(
  Command.withDescription("Open a budget"),
  Command.withExamples([
    { command: "cycles budget create tenant:acme --usd 100" },
    { command: "cycles budget create tenant:acme/agent:writer --tokens 1_000_000" }
  ])
)

const at = { scope: scopeArgument, unit: Amounts.unitFlag }

const showOne = command(
  "show",
  at,
  Effect.fnUntraced(function*({ scope, unit }) {
    const query = yield* budgetAt(scope, unit)
    yield* show(yield* call({ method: "GET", path: `${PATH}/lookup`, query }))
  })
).pipe(Command.withDescription("Show one budget"))

const funding = (operation: string, name: string, what: string) =>
  command(
    name,
    {
      scope: scopeArgument,
      ...Amounts.flags,
      reason: reasonFlag,
      key: Flag.String("idempotency-key").pipe(
        Flag.withDescription("Makes repeating the command harmless; a new one when not given"),
        Flag.optional
      )
    },
    Effect.fnUntraced(function*({ key, reason, scope, ...amounts }) {
      const tenant_id = yield* tenantIn(scope)
      const amount = yield* Amounts.one(amounts)
      const answer = yield* call({
        method: "POST",
        path: `${PATH}/fund`,
        query: { tenant_id, scope, unit: amount.unit },
        body: {
          operation,
          amount,
          reason: Option.getOrUndefined(reason),
          idempotency_key: Option.getOrElse(key, () => randomUUID())
        }
      })
      const { new_allocated, new_remaining, previous_allocated, previous_remaining } = yield* read(Views.Funding)(
        answer
      )
      yield* Output.print(answer, (paint) =>
        Output.facts(paint, [
          ["allocated", `${Amount.format(previous_allocated)} -> ${Amount.format(new_allocated)}`],
          ["remaining", `${Amount.format(previous_remaining)} -> ${Amount.format(new_remaining)}`]
        ]))
    })
  ).pipe(
    Command.withDescription(what),
    Command.withExamples([{ command: `cycles budget ${name} tenant:acme --usd 25` }])
  )

const credit = funding("CREDIT", "credit", "Add to a budget; debt is repaid from it first")
const debit = funding("DEBIT", "debit", "Take from a budget what it has left")
const reset = funding("RESET", "reset", "Set the allocation; what was spent and is held stays")
const resetSpent = funding("RESET_SPENT", "new-period", "Set the allocation and begin a new period with nothing spent")
const repay = funding("REPAY_DEBT", "repay", "Take off debt")

const update = command(
  "update",
  { ...at, overdraft: overdraftFlag, overage },
  Effect.fnUntraced(function*({ overage, overdraft, scope, unit }) {
    const query = yield* budgetAt(scope, unit)
    const limit = Option.isNone(overdraft)
      ? undefined
      : yield* Amounts.inUnit(query.unit, "--overdraft", overdraft.value)
    yield* show(
      yield* call({
        method: "PATCH",
        path: PATH,
        query,
        body: { overdraft_limit: limit, commit_overage_policy: Option.getOrUndefined(overage) }
      })
    )
  })
).pipe(Command.withDescription("Change the overdraft limit or the overage policy"))

const frozen = (name: "freeze" | "unfreeze", what: string) =>
  command(
    name,
    { ...at, reason: reasonFlag },
    Effect.fnUntraced(function*({ reason, scope, unit }) {
      const query = yield* budgetAt(scope, unit)
      yield* show(
        yield* call({
          method: "POST",
          path: `${PATH}/${name}`,
          query,
          body: { reason: Option.getOrUndefined(reason) }
        })
      )
    })
  ).pipe(Command.withDescription(what))

const freeze = frozen("freeze", "Stop a budget: no new holds; those that were given can be settled")
const unfreeze = frozen("unfreeze", "End a freeze")

const close = command(
  "close",
  { ...at, reason: reasonFlag, yes: yesFlag },
  Effect.fnUntraced(function*({ reason, scope, unit, yes }) {
    const query = yield* budgetAt(scope, unit)
    yield* confirm(yes, `Close the ${query.unit} budget of ${scope} for good?`)
    const answer = yield* call({
      method: "POST",
      path: "/v1/admin/control/budgets/close",
      query,
      body: { reason: Option.getOrUndefined(reason) }
    })
    yield* Output.print(answer, () => `The ${query.unit} budget of ${scope} is CLOSED`)
  })
).pipe(Command.withDescription("Close a budget for good"))

export const budget = Command.make("budget").pipe(
  Command.withDescription("Budgets: what may be spent where"),
  Command.withSubcommands([
    list,
    create,
    showOne,
    credit,
    debit,
    reset,
    resetSpent,
    repay,
    update,
    freeze,
    unfreeze,
    close,
    limit
  ])
)
