/**
 * What can go wrong with a SQLite file, by what one can do about it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const advice = {
  Locked: "another process holds its lock. Find out which, or allow more time with `lockTimeoutMs`",
  ReadOnly: "it cannot be written. Give this process write permission to the file and its folder",
  Corrupt: "it is damaged. Stop every process that uses it and restore it from a backup",
  Full: "there is no room left on its disk. Make room; nothing has to be restarted",
  NotADatabase: "it is not a SQLite database. Check `filename`; nothing was changed in it",
  NotALedger: "it is a SQLite database of something else. Check `filename`; nothing was changed in it",
  NewerVersion: "a later version of @effect-cycles/sqlite wrote it. Use that version, or a later one",
  CannotOpen: "it cannot be opened. Check that its folder exists and that this process may read and write there",
  Io: "reading or writing it failed. Check the disk and the system's log",
  Unexpected: "SQLite refused a statement. This is a defect of @effect-cycles/sqlite, or someone changed the tables"
} as const

/**
 * The kinds of trouble a SQLite file can have.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = keyof typeof advice

/**
 * A SQLite file could not be used.
 *
 * Opening a store fails with it; what fails later is the `cause` of a `StoreError`.
 *
 * - `reason`: what kind of trouble it is; the message says what to do about it
 * - `filename`: the file
 * - `cause`: what SQLite said
 *
 * @category errors
 * @since 0.1.0
 */
export class SqliteError extends Schema.TaggedError<SqliteError>("@effect-cycles/sqlite/SqliteError")("SqliteError", {
  reason: Schema.Literals([
    "Locked",
    "ReadOnly",
    "Corrupt",
    "Full",
    "NotADatabase",
    "NotALedger",
    "NewerVersion",
    "CannotOpen",
    "Io",
    "Unexpected"
  ]),
  filename: Schema.String,
  cause: Schema.Defect()
}) {
  /** Whether the same operation may succeed later, unchanged. */
  get isTransient(): boolean {
    return this.reason === "Locked" || this.reason === "Full" || this.reason === "Io"
  }

  override get message(): string {
    return `The ledger ${this.filename} could not be used: ${advice[this.reason]}.`
  }
}

const reasons: { readonly [code: string]: Reason } = {
  BUSY: "Locked",
  LOCKED: "Locked",
  READONLY: "ReadOnly",
  PERM: "ReadOnly",
  AUTH: "ReadOnly",
  CORRUPT: "Corrupt",
  FULL: "Full",
  NOTADB: "NotADatabase",
  CANTOPEN: "CannotOpen",
  IOERR: "Io"
}

/** What kind of trouble an error of the driver means: it names SQLite's code, but for a file it could not even open. */
export const reasonOf = (cause: unknown): Reason => {
  if (typeof cause !== "object" || cause === null) return "Unexpected"
  if ("code" in cause && typeof cause.code === "string" && cause.code !== "") {
    return reasons[cause.code.split("_")[1] ?? ""] ?? "Unexpected"
  }
  const message = "message" in cause ? String(cause.message) : ""
  return message.startsWith("ConnectionFailed") ? "CannotOpen" : "Unexpected"
}

/**
 * The error of a file for what the driver threw.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromCause = (filename: string, cause: unknown): SqliteError =>
  new SqliteError({ reason: reasonOf(cause), filename, cause })
