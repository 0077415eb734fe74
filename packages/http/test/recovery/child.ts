/**
 * A process that is killed: spends once where it is told to, settles what is in the journal, and lives until somebody ends it or
 * its standard input. Says what happens in lines of JSON.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { writeSync } from "node:fs"
import type { Setup } from "./client.ts"
import { layer, spend } from "./client.ts"

const setup: Setup & { readonly spends: boolean } = JSON.parse(process.argv[2] ?? "")

// Not through a stream: what was said has to be out when the process is killed.
const say = (line: object): void => void writeSync(1, `${JSON.stringify(line)}\n`)

const logger = Logger.make<unknown, void>(({ logLevel, message }) =>
  say({ log: `${logLevel}: ${[message].flat().map(String).join(" ")}` })
)

const program = Effect.gen(function*() {
  say({ ready: true })
  if (setup.spends) {
    const { outcome } = yield* spend
    say({ outcome: outcome._tag })
  }
  return yield* Effect.never
}).pipe(Effect.provide(Layer.provideMerge(layer(setup), Logger.layer([logger]))))

const fiber = Effect.runFork(program)
process.stdin.on("end", () => Effect.runFork(Fiber.interrupt(fiber))).resume()
