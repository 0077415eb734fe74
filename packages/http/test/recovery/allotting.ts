/**
 * A process that is killed in the middle of an allotment: many children, one after the other, each settled within it. Says in
 * lines of JSON how many have been.
 */
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"
import { writeSync } from "node:fs"
import type { Setup } from "./client.ts"
import { layer } from "./client.ts"

const setup: Setup & { readonly settleEvery: number; readonly takes: number } = JSON.parse(process.argv[2] ?? "")

// Not through a stream: what was said has to be out when the process is killed.
const say = (line: object): void => void writeSync(1, `${JSON.stringify(line)}\n`)

const child = Budget.guard(
  { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(20) },
  (r) => Effect.as(Effect.sleep(setup.takes), r.commit(Amount.tokens(10)))
)

let settled = 0
const program = Budget.allot(
  {
    action: Action.make("workflow.research", "report"),
    estimate: Amount.tokens(100_000),
    ttl: "2 seconds",
    gracePeriod: 0,
    settleEvery: setup.settleEvery
  },
  Effect.forever(Effect.andThen(child, Effect.sync(() => say({ settled: ++settled }))))
)

Effect.runFork(Effect.provide(program, layer(setup, { heartbeatTimeout: "300 millis" })))
