/** The command line inside of the test's process: the same commands and flags as the program's, with what they print at hand. */
import * as WireJson from "@effect-cycles/http/WireJson"
import { cycles } from "@effect-cycles/server/Cli"
import * as Config from "@effect-cycles/server/Config"
import * as Storage from "@effect-cycles/server/Storage"
import * as NodeServices from "@effect/platform-node/NodeServices"
import type { Governing } from "effect-cycles/ledger/Governance"
import { Governance } from "effect-cycles/ledger/Governance"
import { Ledger } from "effect-cycles/ledger/Ledger"
import * as Cause from "effect/Cause"
import * as Command from "effect/cli/Command"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"

/** What a command left behind. */
export interface Ran {
  readonly code: number
  readonly out: ReadonlyArray<string>
  readonly err: ReadonlyArray<string>
}

/** Something a test looks into by name. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = { readonly [name: string]: any }

export const parse = (text: string | undefined): Json => Result.getOrThrow(WireJson.parse(text ?? "")) as Json

/** The one document a command answered with. */
export const documentOf = ({ code, err, out }: Ran): Json => {
  if (code !== 0 || out.length !== 1) throw new Error(`exit ${code}: ${[...out, ...err].join("\n")}`)
  return parse(out[0])
}

/** Runs a command line; what it prints goes to `seen` too, as it comes. */
export const runWith = (
  env: { readonly [name: string]: string },
  args: ReadonlyArray<string>,
  seen: (line: string) => void = () => {}
): Effect.Effect<Ran> =>
  Effect.suspend(() => {
    const out: Array<string> = []
    const err: Array<string> = []
    const captured: Console.Console = Object.assign(Object.create(globalThis.console), {
      log: (text = "") => {
        out.push(String(text))
        seen(String(text))
      },
      error: (text = "") => err.push(String(text))
    })
    return Command.runWith(cycles, { version: "test" })(args).pipe(
      Effect.provideService(Console.Console, captured),
      Effect.provideService(TerminalCapabilities.TerminalCapabilities, {
        canColor: false,
        canAnimate: false,
        canPrompt: false
      }),
      Effect.provide(Layer.merge(NodeServices.layer, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))),
      Effect.exit,
      Effect.map((exit) => {
        if (Exit.isSuccess(exit)) return { code: 0, out, err }
        const error = Cause.squash(exit.cause)
        if (err.length === 0 && error instanceof Error && error.message !== "") err.push(error.message)
        // What was typed wrong exits with 2, as the program has it.
        const isUsage = typeof error === "object" && error !== null && "_tag" in error && error._tag === "ShowHelp"
        return { code: isUsage ? 2 : Runtime.getErrorExitCode(error), out, err }
      })
    )
  })

/** A data directory of a test, and the command line on it. */
export const onStore = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped({ prefix: "cycles-cli-" })
  const env = { CYCLES_DATA_DIR: directory, CYCLES_SYNCHRONOUS: "off" }
  /** Does something to the ledger while no command has it. */
  const inside = <A, E>(
    act: (governing: Governing, ledger: typeof Ledger.Service) => Effect.Effect<A, E>
  ): Effect.Effect<A> =>
    Effect.gen(function*() {
      const { storage } = yield* Config.resolveStore({
        store: "sqlite",
        dataDir: directory,
        databaseUrl: Option.none(),
        databaseSchema: "cycles",
        databaseLanes: 1,
        synchronous: "off",
        adminApiKeyFile: Option.none(),
        pepperFile: Option.none()
      })
      const context = yield* Layer.build(Storage.layer(storage))
      const governance = yield* Effect.provide(Governance, context)
      return yield* act(governance.asOperator({ actor: "test" }), yield* Effect.provide(Ledger, context))
    }).pipe(Effect.scoped, Effect.orDie)
  return {
    directory,
    inside,
    /** Runs what is typed; words are set apart by single spaces. */
    run: (line: string, ...more: ReadonlyArray<string>) => runWith(env, [...line.split(" "), ...more]),
    json: (line: string, ...more: ReadonlyArray<string>) =>
      Effect.map(runWith(env, [...line.split(" "), ...more, "--json"]), documentOf)
  }
}).pipe(Effect.provide(NodeServices.layer), Effect.orDie)
