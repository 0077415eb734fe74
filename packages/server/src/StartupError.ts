/**
 * Why a server, or a command on its store, could not begin, or not end in good order.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/**
 * The exit code of each reason, so that scripts and service managers can tell them apart.
 *
 * @category configuration
 * @since 0.1.0
 */
export const exitCodes = {
  /** A flag or an environment variable that cannot be understood. */
  Usage: 2,
  /** Somebody else listens on the port. */
  PortInUse: 10,
  /** The host and port cannot be listened on for another reason. */
  CannotListen: 11,
  /** The data directory cannot be made, read or written. */
  DataDirectory: 12,
  /** Another process holds the database's lock. */
  DatabaseLocked: 13,
  /** The database is damaged, or is of something else. */
  DatabaseUnusable: 14,
  /** A later version of this program wrote the database. */
  DatabaseNewer: 15,
  /** Nobody answers where the database should be. */
  DatabaseUnreachable: 16,
  /** The database answers, and does not let this program work on it. */
  DatabaseRefused: 17,
  /** A secret is missing, too short, or cannot be read. */
  Secret: 18,
  /** Requests were cut off, because they did not end in time when the server stopped. */
  Stopped: 20
} as const

/**
 * @category models
 * @since 0.1.0
 */
export type Reason = keyof typeof exitCodes

/**
 * A server could not begin, or not end in good order. The message is one line, says what to do, and holds no secret.
 *
 * @category errors
 * @since 0.1.0
 */
export class StartupError extends Data.TaggedError("StartupError")<{
  readonly reason: Reason
  readonly message: string
  readonly cause?: unknown
}> {
  /** What a process that fails with it exits with. */
  override readonly [Runtime.errorExitCode]: number = exitCodes[this.reason]
}
