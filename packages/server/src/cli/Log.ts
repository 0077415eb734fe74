/**
 * The log of a server: a line for each message, on the standard error.
 *
 * What is told in the course of a request has the request's id and its trace's. Nothing that is `Redacted` is ever written out.
 *
 * @internal
 */
import * as WireJson from "@effect-cycles/http/WireJson"
import { RequestContext } from "effect-cycles/protocol/RequestContext"
import * as Cause from "effect/Cause"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redactable from "effect/Redactable"
import * as References from "effect/References"

type Value = string | number | boolean

const valueOf = (value: unknown): Value => {
  const shown = Redactable.isRedactable(value) ? Redactable.redact(value) : value
  switch (typeof shown) {
    case "string":
    case "boolean":
      return shown
    case "number":
      return Number.isFinite(shown) ? shown : String(shown)
    default:
      return shown instanceof Error ? shown.message : String(shown)
  }
}

type Fields = ReadonlyArray<readonly [name: string, value: Value]>

interface Line {
  readonly time: string
  readonly level: string
  readonly message: string
  readonly fields: Fields
}

const lineOf = ({ cause, date, fiber, logLevel, message }: Logger.Options<unknown>): Line => {
  const { requestId, traceId } = fiber.getRef(RequestContext)
  const fields: ReadonlyArray<readonly [string, unknown]> = [
    ["request_id", requestId],
    ["trace_id", traceId],
    ...Object.entries(fiber.getRef(References.CurrentLogAnnotations)),
    ["cause", cause.reasons.length === 0 ? undefined : Cause.pretty(cause)]
  ]
  return {
    time: date.toISOString(),
    level: logLevel.toLowerCase(),
    message: (Array.isArray(message) ? message : [message]).map(valueOf).join(" "),
    fields: fields.filter(([, value]) => value !== undefined).map(([name, value]) => [name, valueOf(value)])
  }
}

const quoted = (value: Value): string => {
  const text = String(value)
  return /^[^\s"=]+$/.test(text) ? text : WireJson.stringify(text)
}

const asText = ({ fields, level, message, time }: Line): string =>
  [`${time} ${level.padEnd(5)} ${message}`, ...fields.map(([name, value]) => `${name}=${quoted(value)}`)]
    .join(" ")
    .replace(/[\r\n]+/g, "\\n")

const asJson = ({ fields, ...line }: Line): string => WireJson.stringify({ ...line, ...Object.fromEntries(fields) })

/** Writes the log in the form asked for. */
export const layer = (format: "text" | "json"): Layer.Layer<never> =>
  Logger.layer([
    Logger.make((options) => {
      const line = lineOf(options)
      process.stderr.write(`${format === "json" ? asJson(line) : asText(line)}\n`)
    })
  ])
