/**
 * What the demo is told: flags, and the environment.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

/** Something the user got wrong and can put right: one line, and exit code 2. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", { reason: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 2

  override get message(): string {
    return `${this.reason} (--help lists the flags)`
  }
}

export interface Flags {
  readonly input: string
  readonly json: boolean
  readonly seed: number
  readonly speed: number
  readonly help: boolean
}

export const help = `Usage: npm run demo -- [flags]

Shows what a budget does for an agent that cannot stop: without one, with one, ten agents on one,
a retry loop, and an interrupt. Calls a stand-in for a model over HTTP, or a real one when
OPENAI_BASE_URL and OPENAI_API_KEY are set (OPENAI_MODEL: gpt-4o when not given).

  --input DIR   a folder of .txt or .md tickets to work on; ours when not given
  --seed N      a whole number; the stand-in answers the same for the same seed (1)
  --speed X     how many times faster than life the stand-in is (1)
  --json        one JSON object as the last line of stdout, progress on stderr
  --help        this text`

// The tickets are not compiled: they are found from the sources, and from dist beside them.
const ours = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "./tickets" : "../../demo/tickets", import.meta.url)
)

export const parse = (args: ReadonlyArray<string>): Effect.Effect<Flags, UsageError> =>
  Effect.gen(function*() {
    const { values } = yield* Effect.try({
      try: () =>
        parseArgs({
          args: [...args],
          options: {
            input: { type: "string" },
            json: { type: "boolean" },
            seed: { type: "string" },
            speed: { type: "string" },
            help: { type: "boolean" }
          }
        }),
      // The first sentence says what is wrong; the rest is advice about dashes.
      catch: (error) => new UsageError({ reason: (error as Error).message.split(/[.\n]/)[0] ?? "" })
    })
    const seed = Number(values.seed ?? 1)
    const speed = Number(values.speed ?? 1)
    if (!Number.isSafeInteger(seed) || values.seed?.trim() === "") {
      return yield* new UsageError({ reason: `--seed must be a whole number, not "${values.seed}"` })
    }
    if (!Number.isFinite(speed) || speed <= 0) {
      return yield* new UsageError({ reason: `--speed must be a number above 0, not "${values.speed}"` })
    }
    return { input: values.input ?? ours, json: values.json === true, seed, speed, help: values.help === true }
  })

const environment = Config.all({
  baseUrl: Config.option(Config.URL("OPENAI_BASE_URL")),
  apiKey: Config.option(Config.Redacted("OPENAI_API_KEY")),
  model: Config.String("OPENAI_MODEL").pipe(Config.withDefault("gpt-4o"))
}).pipe(
  Config.map(({ apiKey, baseUrl, model }) =>
    Option.map(Option.all({ apiKey, baseUrl }), (found) => ({ ...found, model }))
  )
)

/** A real endpoint, when both its address and its key are given. */
export const endpoint = Effect.mapError(environment, () => new UsageError({ reason: "OPENAI_BASE_URL is not a URL" }))
