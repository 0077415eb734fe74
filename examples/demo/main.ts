/**
 * `npm run demo`
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cli from "./Cli.ts"

// Under `| head` the reader leaves before anything has been shown to add up: no message, and no success either.
process.stdout.on("error", () => process.exit(1))

NodeRuntime.runMain(
  Cli.run({ args: process.argv.slice(2), env: process.env, stdout: process.stdout, stderr: process.stderr }),
  { disableErrorReporting: true }
)
