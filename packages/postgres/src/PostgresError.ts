/**
 * What can be wrong with a database, told apart by what to do about it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"

/**
 * Why the database did not do what it was asked.
 *
 * - `Unreachable`: nobody answers there, the connection broke, or the server is starting or shutting down
 * - `CredentialsRejected`: the user or the password is wrong, or may not connect from here
 * - `DatabaseMissing`: the server has no database of that name
 * - `PermissionDenied`: the user lacks a privilege
 * - `TooManyConnections`: the server takes no more
 * - `Contended`: a lock was not given in time, or the transaction was chosen to end a deadlock or a conflict
 * - `DiskFull`: the server has no room left
 * - `ReadOnly`: it is a standby, or set to take no writes
 * - `SchemaNewer`: a later version of this package has migrated the tables
 * - `Unsuitable`: it cannot keep a ledger as it is set up
 * - `Unreadable`: a row is not in a form this version reads
 * - `Failed`: anything else; the cause says what
 *
 * @category models
 * @since 0.1.0
 */
export type Reason =
  | "Unreachable"
  | "CredentialsRejected"
  | "DatabaseMissing"
  | "PermissionDenied"
  | "TooManyConnections"
  | "Contended"
  | "DiskFull"
  | "ReadOnly"
  | "SchemaNewer"
  | "Unsuitable"
  | "Unreadable"
  | "Failed"

const advice: { readonly [R in Reason]: string } = {
  Unreachable: "Check the host and port, and that the server runs; it is tried again",
  CredentialsRejected: "Check the user and the password, and the server's pg_hba.conf",
  DatabaseMissing: "Create the database, or name one that exists",
  PermissionDenied: "Grant the user CREATE on the database, or let an owner run the store once and grant it the tables",
  TooManyConnections: "Raise max_connections, or use fewer lanes or processes",
  Contended: "Try again; if it stays, look for a session that holds its locks",
  DiskFull: "Free some room on the server's disk",
  ReadOnly: "Connect to the primary",
  SchemaNewer: "Use the version of @effect-cycles/postgres that migrated the tables, or a later one",
  Unsuitable: "See the cause",
  Unreadable: "Use the version of effect-cycles that wrote the row, or a later one",
  Failed: "See the cause"
}

/**
 * The database did not do what it was asked. The message says what to do next; it never holds a password.
 *
 * `code` is the server's SQLSTATE, where it answered at all.
 *
 * @category errors
 * @since 0.1.0
 */
export class PostgresError extends Schema.TaggedError<PostgresError>("@effect-cycles/postgres/PostgresError")(
  "PostgresError",
  {
    reason: Schema.Literals([
      "Unreachable",
      "CredentialsRejected",
      "DatabaseMissing",
      "PermissionDenied",
      "TooManyConnections",
      "Contended",
      "DiskFull",
      "ReadOnly",
      "SchemaNewer",
      "Unsuitable",
      "Unreadable",
      "Failed"
    ]),
    detail: Schema.String,
    code: Schema.optional(Schema.String),
    cause: Schema.optional(Schema.Defect())
  }
) {
  override get message(): string {
    return `${this.detail}. ${advice[this.reason]}`
  }
}

/** The server's error behind an `SqlError`, where the server answered. */
const serverError = (error: SqlError): { readonly code?: unknown; readonly message?: unknown } =>
  typeof error.reason.cause === "object" && error.reason.cause !== null ? error.reason.cause : {}

/**
 * The SQLSTATE of an error, where the server gave one.
 *
 * @internal
 */
export const sqlState = (error: SqlError): string | undefined => {
  const { code } = serverError(error)
  // A socket's error has a code as well, such as ECONNREFUSED.
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}

/**
 * Whether the session is over: the connection broke, or the server ended it. Of a statement that was under way nothing is known.
 *
 * @internal
 */
export const endsSession = (error: SqlError): boolean => {
  const state = sqlState(error)
  return state === undefined ? error.reason._tag === "ConnectionError" : /^(08|57P)/.test(state)
}

const reasonOf = (error: SqlError): Reason => {
  const state = sqlState(error)
  if (state === undefined) return error.reason._tag === "ConnectionError" ? "Unreachable" : "Failed"
  if (state.startsWith("08") || state.startsWith("57P")) return "Unreachable"
  if (state.startsWith("28")) return "CredentialsRejected"
  switch (state) {
    case "3D000":
      return "DatabaseMissing"
    case "42501":
      return "PermissionDenied"
    case "53300":
      return "TooManyConnections"
    case "40001":
    case "40P01":
    case "55P03":
    case "57014":
      return "Contended"
    case "53100":
      return "DiskFull"
    case "25006":
      return "ReadOnly"
  }
  return "Failed"
}

/**
 * What an `SqlError` means.
 *
 * @internal
 */
export const fromSqlError = (error: SqlError): PostgresError => {
  const code = sqlState(error)
  const { message } = serverError(error)
  return new PostgresError({
    reason: reasonOf(error),
    detail: typeof message === "string" && message !== "" ? message : error.message,
    ...(code === undefined ? undefined : { code }),
    cause: error
  })
}
