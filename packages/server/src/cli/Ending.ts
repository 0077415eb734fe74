/**
 * How a command ends that goes on until it is told to stop.
 *
 * @internal
 */
import * as Effect from "effect/Effect"

/**
 * Waits until the process is told to stop. From then on its signals are ours: whoever asks twice does not want to wait.
 */
export const untilSignal: Effect.Effect<NodeJS.Signals> = Effect.callback((resume) => {
  const stop = (signal: NodeJS.Signals): void => {
    process.removeListener("SIGINT", stop)
    process.removeListener("SIGTERM", stop)
    process.once("SIGINT", () => process.exit(130))
    process.once("SIGTERM", () => process.exit(143))
    resume(Effect.succeed(signal))
  }
  process.on("SIGINT", stop)
  process.on("SIGTERM", stop)
})
