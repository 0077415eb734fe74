/**
 * Why a command failed, what its process exits with, and what to do next.
 *
 * @internal
 */
import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"

/**
 * The exit codes of commands, so that scripts can tell their ends apart. Trouble with a store that a command opens itself has the
 * codes of `StartupError`.
 */
export const exitCodes = {
  /** It was understood and refused: a denial, a conflict, a state that does not allow it; or `verify` found a flaw. */
  Refused: 1,
  /** What was typed cannot be understood, or is not valid. */
  Usage: 2,
  /** What it is about does not exist. */
  NotFound: 3,
  /** Nobody answers, or not in a way that can be understood. */
  Unreachable: 4,
  /** The key is missing, wrong, or may not do this. */
  Unauthorized: 5
} as const

export type Reason = keyof typeof exitCodes

/** A command failed. The message is what was answered; `next` says what to do about it. */
export class CommandError extends Data.TaggedError("CommandError")<{
  readonly reason: Reason
  /** The protocol's code, where an authority refused. */
  readonly code?: string | undefined
  readonly text: string
  readonly next?: string | undefined
  readonly details?: unknown
  readonly requestId?: string | undefined
}> {
  /** What a process that fails with it exits with. */
  override readonly [Runtime.errorExitCode]: number = exitCodes[this.reason]

  override get message(): string {
    const { code, next, text } = this
    const sentence = /[.!?]$/.test(text) ? text : `${text}.`
    return `${code === undefined ? "" : `${code}: `}${sentence}${next === undefined ? "" : ` ${next}`}`
  }
}

/** What was typed cannot be used. */
export const usage = (text: string, next?: string): CommandError => new CommandError({ reason: "Usage", text, next })

const nextOf = (code: string | undefined, status: number): string | undefined => {
  switch (code) {
    case "UNAUTHORIZED":
      return "Give the admin key by CYCLES_ADMIN_API_KEY or --admin-key, or a tenant's key by CYCLES_API_KEY or --api-key"
    case "FORBIDDEN":
    case "INSUFFICIENT_PERMISSIONS":
      return "Use the admin key, or a key with that permission and scope: cycles key create --help"
    case "TENANT_NOT_FOUND":
      return "See cycles tenant list, or make it: cycles tenant create"
    case "BUDGET_NOT_FOUND":
      return "See cycles budget list, or open it: cycles budget create"
    case "BUDGET_FROZEN":
      return "End the freeze: cycles budget unfreeze"
    case "DUPLICATE_RESOURCE":
      return "It is there already; see it by the command's show or list"
    default:
      return status === 429 || status >= 500 ? "Try again in a moment" : undefined
  }
}

const reasonOf = (status: number): Reason => {
  if (status === 400) return "Usage"
  if (status === 401 || status === 403) return "Unauthorized"
  if (status === 404) return "NotFound"
  return status === 429 || status >= 500 ? "Unreachable" : "Refused"
}

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const textIn = (value: unknown): string | undefined => typeof value === "string" && value !== "" ? value : undefined

/** What a refusal of an authority means to whoever typed the command. */
export const fromAnswer = (status: number, body: unknown): CommandError => {
  const { details, error, message, request_id: requestId } = isRecord(body) ? body : {}
  const code = textIn(error)
  const field = isRecord(details) ? textIn(details["field"]) : undefined
  const said = textIn(message) ?? `answered with status ${status}`
  return new CommandError({
    reason: code === undefined && status >= 404 ? "Unreachable" : reasonOf(status),
    code,
    text: field === undefined || said.includes(field) ? said : `${field} ${said}`,
    next: code === undefined ? "Is this the address of a Cycles server?" : nextOf(code, status),
    details,
    requestId: textIn(requestId)
  })
}
