/**
 * The demo as a whole: starts the model's side, runs the scenarios, audits them from its log.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { Amount } from "effect-cycles"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { constant, identity } from "effect/Function"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Agent from "./Agent.ts"
import * as Audit from "./Audit.ts"
import * as CallLog from "./CallLog.ts"
import type { Report } from "./Card.ts"
import { Display } from "./Display.ts"
import type { Backend } from "./Endpoint.ts"
import * as Endpoint from "./Endpoint.ts"
import type { Prices } from "./Pricing.ts"
import * as Pricing from "./Pricing.ts"
import * as Scenarios from "./Scenarios.ts"
import * as StandIn from "./StandIn.ts"
import type { Ticket } from "./Tickets.ts"
import * as Tokens from "./Tokens.ts"
import * as Upstream from "./Upstream.ts"

export interface Options {
  readonly tickets: readonly [Ticket, ...Array<Ticket>]
  readonly prices: Prices
  readonly seed: number
  readonly speed: number
  readonly real: Option.Option<{ readonly baseUrl: URL; readonly apiKey: Redacted.Redacted }>
}

export class TookTooLong extends Schema.TaggedError<TookTooLong>()("TookTooLong", { seconds: Schema.Finite }) {
  override get message(): string {
    return `gave up after ${this.seconds} seconds`
  }
}

const planOf = ({ prices, real, speed, tickets }: Options): Scenarios.Plan => {
  const common = { tickets, agents: 10, retries: StandIn.OUTAGE, pauseMs: 600 / speed }
  if (Option.isNone(real)) {
    return {
      ...common,
      model: { prices, maxTokens: 500, margin: identity },
      cap: 120,
      allocated: Amount.usd(1),
      retryAllocated: Amount.usd(0.1)
    }
  }
  // Against a real endpoint each call takes seconds and costs money: a few of them have to do.
  const model = { prices, maxTokens: 120, margin: (tokens: number) => Math.ceil(tokens * 1.1) + 64 }
  const times = (count: bigint, turn: Agent.Turn) =>
    Amount.microcents(
      count * Pricing.cost(prices, {
        prompt_tokens: model.margin(Tokens.ofMessages(turn.messages)),
        completion_tokens: model.maxTokens
      }).amount
    )
  return {
    ...common,
    model,
    cap: 5,
    allocated: times(3n, Agent.opening(tickets[0])),
    retryAllocated: times(6n, Agent.triage(tickets, 1))
  }
}

/** The outage of scenario 4 is always the stand-in's: nobody can order a 503. */
const backendOf = Effect.fnUntraced(function*({ real, seed, speed }: Options) {
  const standIn = yield* StandIn.make({ seed, speed })
  if (Option.isNone(real)) return standIn
  const upstream = yield* Upstream.make(real.value)
  const backend: Backend = (scenario, request) =>
    (scenario === "retryUnguarded" || scenario === "retryGuarded" ? standIn : upstream)(scenario, request)
  return backend
})

const dollars = (price: number): string => `$${price.toFixed(2)}`

export const run = Effect.fn("Demo.run")(
  function*(options: Options) {
    const started = yield* Clock.currentTimeMillis
    const display = yield* Display
    const { prices, real, tickets } = options
    const text = tickets.length === 1 ? "One ticket" : `${tickets.length} tickets`
    const where = Option.match(real, {
      onNone: constant("A stand-in for it answers on 127.0.0.1, over HTTP."),
      onSome: ({ baseUrl }) => `${baseUrl.host} answers, in small; the outage of scenario 4 is a stand-in's.`
    })
    const price = `${prices.model} at ${dollars(prices.input)} a million tokens in, ${dollars(prices.output)} out`
    yield* display.print([`${text}. ${price}.`, where])

    const fs = yield* FileSystem.FileSystem
    const file = `${yield* fs.makeTempDirectoryScoped({ prefix: "cycles-demo-" })}/calls.jsonl`
    const plan = planOf(options)
    const outcomes = yield* Scenarios.all(plan).pipe(
      Effect.provide(Endpoint.layer(backendOf(options)).pipe(Layer.provide(CallLog.layer(file))))
    )
    const log = yield* CallLog.read(file)

    const [unguarded, guarded, ten, retryUnguarded, retryGuarded, interrupted] = outcomes
    const figures = (outcome: Scenarios.Outcome) => Audit.figures(outcome, Audit.bill(log, outcome.scenario))
    const report: Report = {
      model: prices.model,
      scenarios: {
        unguarded: figures(unguarded),
        guarded: figures(guarded),
        ten: figures(ten),
        retryUnguarded: figures(retryUnguarded),
        retryGuarded: figures(retryGuarded),
        interrupted: figures(interrupted)
      },
      checks: Audit.checks(outcomes, log, plan),
      retries: plan.retries,
      seconds: ((yield* Clock.currentTimeMillis) - started) / 1_000
    }
    return report
  },
  Effect.scoped,
  (run, { speed }) => {
    const seconds = 28 / Math.min(1, speed)
    return Effect.timeoutOrElse(run, {
      duration: `${seconds} seconds`,
      orElse: () => new TookTooLong({ seconds })
    })
  },
  Effect.provide([FetchHttpClient.layer, NodeFileSystem.layer, NodePath.layer])
)
