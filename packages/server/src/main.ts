#!/usr/bin/env node
/**
 * The program `cycles`.
 *
 * @internal
 */
// The first of all: what parses by a schema before it is not compiled. Bodies are checked in about half the time.
import "effect/schema/SchemaJITCompiler/enable"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import type * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"
import * as Runtime from "effect/Runtime"
import { Told } from "./cli/client.ts"
import { cycles } from "./cli/root.ts"
import { version } from "./cli/version.ts"
import { exitCodes, StartupError } from "./StartupError.ts"

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, " ").trim()

/** Names the variable a value came from, where it did not come from a flag. */
const wordsFor = (error: CliError.CliError): string => {
  const message = oneLine(error.message)
  const [, expected, variable] = /SchemaError\((.*) at \["(CYCLES_\w+)"\]\)/.exec(message) ?? []
  if (variable !== undefined) return `The variable ${variable} is not right: ${expected}`
  return error._tag === "InvalidValue" && error.expected.startsWith("--") ? error.expected : message
}

/** What was typed wrong is told in a line, and help only to those who ask for it. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.forEach(
        event.errors,
        (error: CliError.CliError) =>
          Console.error(
            `${event.commandPath.join(" ")}: ${wordsFor(error)}. See ${event.commandPath.join(" ")} --help`
          ),
        { discard: true }
      )
      : CliOutput.defaultPresenter.present(event)
}

const messageOf = (error: unknown): string => error instanceof Error ? oneLine(error.message) : String(error)

const isUsage = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "ShowHelp"

/** The end of a program, told in one line unless it was told already. */
const tell = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.void
  const error = Cause.squash(cause)
  if (isUsage(error) || error instanceof Told) return Effect.void
  return Console.error(Cause.hasDies(cause) ? `cycles: ${Cause.pretty(cause)}` : `cycles: ${messageOf(error)}`)
}

const teardown: Runtime.Teardown = (exit, onExit) =>
  exit._tag === "Failure" && isUsage(Cause.squash(exit.cause)) &&
    Runtime.getErrorExitCode(Cause.squash(exit.cause)) !== 0
    ? onExit(exitCodes.Usage)
    : Runtime.defaultTeardown(exit, onExit)

/** A variable that is set to nothing is not set: that is how compose files leave one out. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "")
)

/** What is told in the log where `--log-level` does not say so. */
const logLevel = Layer.effect(
  References.MinimumLogLevel,
  Effect.gen(function*() {
    const said = (yield* Effect.orDie(Config.withDefault(Config.String("CYCLES_LOG_LEVEL"), "info"))).toLowerCase()
    const level = LogLevel.values.find((level) => level.toLowerCase() === said)
    return level ?? (yield* new StartupError({
      reason: "Usage",
      message: `The variable CYCLES_LOG_LEVEL is not right: expected one of ${LogLevel.values.join(", ").toLowerCase()}`
    }))
  })
)

// A command that ends by itself when it is told to stop has a listener of its own; every other is interrupted.
const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  const interrupt = (signal: NodeJS.Signals): void => {
    if (process.listenerCount(signal) === 1) fiber.interruptUnsafe()
  }
  process.on("SIGINT", interrupt)
  process.on("SIGTERM", interrupt)
  fiber.addObserver((exit) => teardown(exit, (code) => process.exit(code)))
})

Command.run(cycles, { version }).pipe(
  Effect.provide(logLevel),
  Effect.tapCause(tell),
  Effect.provide(Layer.mergeAll(
    NodeServices.layer,
    CliOutput.layerPresenter(presenter),
    ConfigProvider.layer(ConfigProvider.fromEnv({ env: environment }))
  )),
  (program) => runMain(program, { disableErrorReporting: true, teardown })
)
