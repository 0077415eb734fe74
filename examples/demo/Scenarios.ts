/**
 * The five things the demo shows. Each runs against the endpoint and returns what it saw; whether that adds up is decided
 * in `Audit`.
 */
import type { CyclesError } from "effect-cycles"
import { Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Agent from "./Agent.ts"
import type { ScenarioName } from "./CallLog.ts"
import * as Calls from "./Calls.ts"
import { Display } from "./Display.ts"
import { Endpoint } from "./Endpoint.ts"
import * as Model from "./Model.ts"
import { usd } from "./Money.ts"
import type { Ticket } from "./Tickets.ts"

/**
 * How large the scenarios are.
 *
 * - `cap`: after how many calls the demo stops the agent that nothing else would stop
 * - `allocated`: the budget of scenarios 2, 3 and 5; `retryAllocated` that of 4
 */
export interface Plan {
  readonly tickets: readonly [Ticket, ...Array<Ticket>]
  readonly model: Model.Options
  readonly cap: number
  readonly agents: number
  readonly retries: number
  readonly allocated: Amount.Amount<"USD_MICROCENTS">
  readonly retryAllocated: Amount.Amount<"USD_MICROCENTS">
  readonly pauseMs: number
}

export interface Balance {
  readonly allocated: bigint
  readonly spent: bigint
  readonly remaining: bigint
  readonly reserved: bigint
}

/**
 * What the ledger says in the end.
 *
 * - `peak`: the most that was spent and held together, over the ledger's whole history
 * - `flaws`: what is wrong with that history
 */
export interface Books {
  readonly balance: Balance
  readonly peak: bigint
  readonly entries: number
  readonly flaws: ReadonlyArray<string>
}

/**
 * What a scenario saw.
 *
 * - `denials`: how often a call was refused; `refused`: the refusals that agents ended with
 * - `held`: what was held when the agent was interrupted
 */
export interface Outcome {
  readonly scenario: ScenarioName
  readonly meter: Model.Meter
  readonly denials: number
  readonly refused: ReadonlyArray<CyclesError.BudgetExceeded>
  readonly held?: bigint
  readonly books: Books | undefined
}

class StoppedByDemo extends Schema.TaggedError<StoppedByDemo>()("StoppedByDemo", {}) {}

const tenant = "demo"

const balance = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances: [budget] } = yield* authority.balances({ tenant })
  return {
    allocated: budget?.allocated?.amount ?? 0n,
    spent: budget?.spent?.amount ?? 0n,
    remaining: budget?.remaining.amount ?? 0n,
    reserved: budget?.reserved?.amount ?? 0n
  }
})

const books = Effect.gen(function*() {
  const ledger = yield* Ledger.Ledger
  const { entries: count, flaws } = yield* ledger.verify(tenant)
  let peak = 0n
  for (let after = 0; after < count; after += 1_000) {
    for (const { changes } of yield* ledger.entries(tenant, { after })) {
      for (const { after: { reserved, spent } } of changes) {
        if (spent + reserved > peak) peak = spent + reserved
      }
    }
  }
  return { balance: yield* balance, peak, entries: count, flaws }
})

/** Runs work that has no budget, and shows what it spends. */
const unbudgeted = Effect.fnUntraced(function*<E, R>(
  scenario: ScenarioName,
  title: string,
  work: Effect.Effect<void, E, R>
) {
  const display = yield* Display
  const { meter } = yield* Model.Model
  yield* display.during(title, Effect.map(meter, (meter) => ({ meter })), work)
  const seen = yield* meter
  return { scenario, meter: seen, denials: 0, refused: [], books: undefined } satisfies Outcome
})

/** Runs work on a budget of its own. The books are closed after the budget's layer, which waits for what is under way. */
const budgeted = <A extends Partial<Outcome>, E, R>(
  scenario: ScenarioName,
  title: string,
  allocated: Amount.Amount<"USD_MICROCENTS">,
  work: Effect.Effect<A, E, R>
) =>
  Effect.gen(function*() {
    const display = yield* Display
    const { meter } = yield* Model.Model
    const result = yield* display.during(
      title,
      Effect.all({ meter, balance }),
      Effect.provide(work, Budget.layer())
    )
    const closed = yield* books
    yield* display.bar(closed.balance)
    const outcome: Outcome = { scenario, meter: yield* meter, denials: 0, refused: [], books: closed, ...result }
    return outcome
  }).pipe(
    Effect.provide(Ledger.layerMemory({ tenant, budgets: [{ scope: `tenant:${tenant}`, allocated }] }))
  )

export const unguarded = Effect.fn("Scenarios.unguarded")(
  function*(plan: Plan) {
    const display = yield* Display
    const { meter } = yield* Model.Model
    const capped = Effect.fnUntraced(function*(turn: Agent.Turn) {
      const { calls } = yield* meter
      return calls < plan.cap ? yield* Calls.bare(turn) : yield* new StoppedByDemo()
    })
    const outcome = yield* unbudgeted(
      "unguarded",
      "1. Unguarded: one agent, no budget",
      Effect.forEach(plan.tickets, (ticket) => Agent.work(ticket, capped), { discard: true }).pipe(
        Effect.catchTag("StoppedByDemo", () => Effect.void)
      )
    )
    yield* display.note(
      `${outcome.meter.calls} calls, ${usd(outcome.meter.cost)}, and still on ticket 1 of ${plan.tickets.length}. ` +
        `Stopped by the demo after ${plan.cap} calls; nothing else would have.`
    )
    return outcome
  }
)

export const guarded = Effect.fn("Scenarios.guarded")(function*(plan: Plan) {
  const display = yield* Display
  const outcome = yield* budgeted(
    "guarded",
    `2. Guarded: the same agent on ${Amount.format(plan.allocated)}`,
    plan.allocated,
    Effect.forEach(plan.tickets, (ticket) => Agent.work(ticket, Calls.guarded), { discard: true }).pipe(
      Effect.as({ denials: 0, refused: [] }),
      Effect.catchTag("BudgetExceeded", (denied) => Effect.succeed({ denials: 1, refused: [denied] }))
    )
  )
  for (const { remaining = 0n, requested = 0n } of outcome.refused) {
    yield* display.note(
      `${outcome.meter.calls} calls. The next one could have cost ${usd(requested)}, ` +
        `and ${usd(remaining)} were left: it was not made.`
    )
  }
  return outcome
})

export const ten = Effect.fn("Scenarios.ten")(function*(plan: Plan) {
  const display = yield* Display
  const denials = yield* Ref.make(0)

  // Others still hold what they may give back: that is waited for. A refusal is final once nobody holds anything.
  const roomFor = ({ requested = 0n }: CyclesError.BudgetExceeded) =>
    balance.pipe(
      Effect.repeat({
        schedule: Schedule.spaced("10 millis"),
        until: ({ remaining, reserved }: Balance) => reserved === 0n || remaining >= requested
      }),
      Effect.map(({ remaining }) => remaining >= requested)
    )
  const patient = (turn: Agent.Turn) =>
    Calls.guarded(turn).pipe(
      Effect.tapErrorTag("BudgetExceeded", () => Ref.update(denials, (n) => n + 1)),
      Effect.retry({ while: (error) => error._tag === "BudgetExceeded" ? roomFor(error) : Effect.succeed(false) })
    )

  const agents = Effect.forEach(
    Array.from({ length: plan.agents }, (_, i) => plan.tickets[i % plan.tickets.length] ?? plan.tickets[0]),
    (ticket, i) =>
      Agent.work(ticket, patient).pipe(
        Effect.as([]),
        Effect.catchTag("BudgetExceeded", (denied) => Effect.succeed([denied])),
        Budget.within({ agent: `agent-${i + 1}` })
      ),
    { concurrency: "unbounded" }
  )
  const outcome = yield* budgeted(
    "ten",
    `3. Ten agents at once on one ${Amount.format(plan.allocated)}`,
    plan.allocated,
    Effect.gen(function*() {
      const refused = (yield* agents).flat()
      return { refused, denials: yield* Ref.get(denials) }
    })
  )
  yield* display.note(
    `${outcome.meter.calls} calls, and never more than ${usd(outcome.books?.peak ?? 0n)} spent and held together. ` +
      `${outcome.refused.length} of ${plan.agents} agents ended by a denial (${outcome.denials} denials in all).`
  )
  return outcome
})

/** Tries the queue's prompt until it is answered. An exponential backoff that is reset before each retry never grows. */
const insist = Effect.fnUntraced(function*<E extends { readonly _tag: string }, R>(
  plan: Plan,
  call: (turn: Agent.Turn) => Effect.Effect<string, E, R>
) {
  const attempts = yield* Ref.make(0)
  return yield* Ref.updateAndGet(attempts, (n) => n + 1).pipe(
    Effect.flatMap((attempt) => call(Agent.triage(plan.tickets, attempt))),
    Effect.retry({
      while: (error) => error._tag === "GatewayFailed",
      times: plan.retries,
      schedule: Schedule.spaced(plan.pauseMs / 50)
    })
  )
})

export const retryUnguarded = Effect.fn("Scenarios.retryUnguarded")(function*(plan: Plan) {
  const display = yield* Display
  const outcome = yield* unbudgeted(
    "retryUnguarded",
    "4a. A retry loop after a 503, without a budget",
    Effect.asVoid(insist(plan, Calls.bare))
  )
  yield* display.note(
    `${outcome.meter.calls} calls and ${usd(outcome.meter.cost)} for one answer: ${plan.retries} retries, ` +
      "each with a fresh prompt, each billed: the model had done its work when the gateway in front of it gave up."
  )
  return outcome
})

export const retryGuarded = Effect.fn("Scenarios.retryGuarded")(function*(plan: Plan) {
  const display = yield* Display
  const outcome = yield* budgeted(
    "retryGuarded",
    `4b. The same loop on ${Amount.format(plan.retryAllocated)}`,
    plan.retryAllocated,
    insist(plan, Calls.guarded).pipe(
      Effect.as({ denials: 0, refused: [] }),
      Effect.catchTag("BudgetExceeded", (denied) => Effect.succeed({ denials: 1, refused: [denied] }))
    )
  )
  yield* display.note(
    `${outcome.meter.calls} calls, then a denial, which is no error to retry. A failed call commits what its gateway ` +
      "reports, or else the whole estimate: a lost answer is not a free one."
  )
  return outcome
})

export const interrupted = Effect.fn("Scenarios.interrupted")(function*(plan: Plan) {
  const display = yield* Display
  const endpoint = yield* Endpoint
  const outcome = yield* budgeted(
    "interrupted",
    "5. An agent interrupted in mid-call",
    plan.allocated,
    Effect.gen(function*() {
      const call = yield* Effect.forkChild(Calls.guarded(Agent.opening(plan.tickets[0])))
      yield* Effect.raceFirst(endpoint.received("interrupted"), Fiber.join(call))
      const { reserved } = yield* balance
      yield* Effect.sleep(plan.pauseMs)
      yield* Fiber.interrupt(call)
      return { held: reserved }
    })
  )
  yield* display.note(
    `${usd(outcome.held ?? 0n)} held while the model worked, ` +
      `${usd(outcome.books?.balance.reserved ?? 0n)} after the interrupt. ` +
      "This model bills no call whose client went away; where yours may, take a `Reservation` and commit when interrupted."
  )
  return outcome
})

/** All of them, one after the other. */
export const all = (plan: Plan) =>
  Effect.all([
    Effect.provide(unguarded(plan), Model.layer("unguarded", plan.model)),
    Effect.provide(guarded(plan), Model.layer("guarded", plan.model)),
    Effect.provide(ten(plan), Model.layer("ten", plan.model)),
    Effect.provide(retryUnguarded(plan), Model.layer("retryUnguarded", plan.model)),
    Effect.provide(retryGuarded(plan), Model.layer("retryGuarded", plan.model)),
    Effect.provide(interrupted(plan), Model.layer("interrupted", plan.model))
  ])
