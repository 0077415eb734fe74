/**
 * `cycles serve`: runs a server until it is told to stop.
 *
 * @internal
 */
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { ServeSettings } from "../Config.ts"
import * as Config from "../Config.ts"
import * as Server from "../Server.ts"

/** Waits until the process is told to stop. Until then, and from then on, its signals are ours. */
const untilSignal: Effect.Effect<NodeJS.Signals> = Effect.callback((resume) => {
  const stop = (signal: NodeJS.Signals): void => {
    // Whoever asks twice does not want to wait.
    process.once("SIGINT", () => process.exit(130))
    process.once("SIGTERM", () => process.exit(143))
    resume(Effect.succeed(signal))
  }
  process.once("SIGINT", stop)
  process.once("SIGTERM", stop)
})

const run = Effect.fnUntraced(function*(settings: ServeSettings) {
  const { secrets, storage } = yield* Config.resolveStore(settings)
  const { adminKey, isNewAdminKey, kept } = secrets
  const { host, port } = settings
  const context = yield* Layer.build(Server.layerStandalone({ ...storage, adminKey, host, port }))
  const { url } = yield* Effect.provideContext(Server.Server, context)
  yield* Console.log(`cycles listens on ${url}`)
  if (isNewAdminKey) {
    yield* Console.log(`The admin key, shown this once: ${Redacted.value(adminKey)}`)
    for (const path of kept) yield* Console.log(`Kept in ${path}`)
  }
  yield* untilSignal
}, Effect.scoped)

export const serve = Command.make("serve", Config.serveFlags, run).pipe(
  Command.withDescription("Run a server: the Cycles protocol over a ledger, until SIGTERM or Ctrl+C"),
  Command.withShortDescription("Run a server")
)
