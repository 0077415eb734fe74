/**
 * The model side's log: one line of JSON per call, written where the HTTP request was answered or given up.
 *
 * Nothing on the agent's side reads or writes it. `Audit` does the sums again from here.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

export const scenarios = ["unguarded", "guarded", "ten", "retryUnguarded", "retryGuarded", "interrupted"] as const

export const ScenarioName = Schema.Literals(scenarios)
export type ScenarioName = typeof ScenarioName.Type

/**
 * - `status`: the HTTP status sent; 499 where the client was gone before there was one
 * - `outcome`: whether the model finished its work, or was stopped in it because the client went away
 */
export const Call = Schema.Struct({
  scenario: ScenarioName,
  model: Schema.String,
  status: Schema.Int,
  outcome: Schema.Literals(["finished", "aborted"]),
  promptTokens: Schema.Natural,
  completionTokens: Schema.Natural
}).pipe(Schema.encodeKeys({ promptTokens: "prompt_tokens", completionTokens: "completion_tokens" }))
export interface Call extends Schema.Schema.Type<typeof Call> {}

const Line = Schema.fromJsonString(Call)
const encode = Schema.encodeEffect(Line)
const decode = Schema.decodeEffect(Schema.Array(Line))

export class CallLog extends Context.Service<CallLog, {
  readonly append: (call: Call) => Effect.Effect<void>
}>()("examples/demo/CallLog") {}

export const layer = (file: string): Layer.Layer<CallLog, never, FileSystem.FileSystem> =>
  Layer.effect(
    CallLog,
    Effect.map(FileSystem.FileSystem, (fs) =>
      CallLog.of({
        // A model that cannot write its log has no business going on.
        append: (call) =>
          encode(call).pipe(
            Effect.flatMap((line) => fs.writeFileString(file, `${line}\n`, { flag: "a" })),
            Effect.orDie
          )
      }))
  )

export const read = Effect.fn("CallLog.read")(function*(file: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(file)
  return yield* decode(text.split("\n").filter((line) => line !== ""))
})
