/**
 * `cycles serve`: runs a server until it is told to stop.
 *
 * @internal
 */
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ServeSettings } from "../Config.ts"
import * as Config from "../Config.ts"
import { exitCodes, StartupError } from "../StartupError.ts"
import { untilSignal } from "./Ending.ts"
import * as Greeting from "./Greeting.ts"
import * as Log from "./Log.ts"

/** What follows the requests: the lanes and the store. */
const STORE_PATIENCE_MS = 10_000

/** Ends the process where its end does not come by itself. */
const endAnyway = (ms: number): void => {
  const timer = setTimeout(() => {
    process.stderr.write("cycles: the store did not close in time\n")
    process.exit(exitCodes.Stopped)
  }, ms)
  timer.unref()
}

const run = Effect.fnUntraced(function*(settings: ServeSettings) {
  const { secrets, storage } = yield* Config.resolveStore(settings)
  // What serving needs is loaded when something is served, and by no other command.
  const Server = yield* Effect.promise(() => import("../Server.ts"))
  const server = yield* Effect.scoped(Effect.gen(function*() {
    const context = yield* Layer.build(
      Server.layerStandalone({ ...storage, ...Config.serverOptions(settings), adminKey: secrets.adminKey })
    )
    const server = Context.get(context, Server.Server)
    const { adminUrl, url } = server
    const isGovernanceApart = settings.governance === "admin"
    yield* Console.log(Greeting.make({ url, adminUrl, isGovernanceApart, store: storage.store, secrets }))
    const signal = yield* untilSignal
    yield* Effect.logInfo(`${signal}: no more connections are taken, and what is under way ends`)
    endAnyway(settings.drainDelay + settings.shutdownTimeout + STORE_PATIENCE_MS)
    return server
  }))
  if (server.hasCutOff()) {
    return yield* new StartupError({
      reason: "Stopped",
      message: "Requests were cut off, because they did not end in time. Allow more with --shutdown-timeout"
    })
  }
  yield* Effect.logInfo("stopped")
}, (self, settings) => Effect.provide(self, Log.layer(settings.logFormat)))

export const serve = Command.make("serve", Config.serveFlags, run).pipe(
  Command.withDescription("Run a server: the Cycles protocol over a ledger, until SIGTERM or Ctrl+C"),
  Command.withShortDescription("Run a server")
)
