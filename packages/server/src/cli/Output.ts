/**
 * How a command answers: for people, or as JSON for programs.
 *
 * @internal
 */
import * as WireJson from "@effect-cycles/http/WireJson"
import { displayWidth } from "effect/cli/CliOutput"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** Whether answers are JSON. */
export const AsJson = Context.Reference<boolean>("@effect-cycles/server/cli/AsJson", { defaultValue: () => false })

/** Answers with a document, or with words for it. */
export const print = (document: unknown, words: (paint: Paint) => string): Effect.Effect<void> =>
  Effect.flatMap(AsJson, (asJson) =>
    asJson
      ? Console.log(WireJson.stringify(document))
      : Effect.flatMap(paint, (paint) => Console.log(words(paint))))

export type Colour = "red" | "yellow" | "green" | "bold" | "dim"

/** Puts a text into a colour, where the terminal has some. */
export type Paint = (colour: Colour, text: string) => string

const codes: { readonly [C in Colour]: number } = { red: 31, yellow: 33, green: 32, bold: 1, dim: 2 }

export const paint: Effect.Effect<Paint> = Effect.map(
  TerminalCapabilities.TerminalCapabilities,
  ({ canColor }): Paint => (colour, text) => canColor ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text
)

/** Columns side by side, as wide as they need to be. What comes from elsewhere moves no cursor. */
export const table = (
  paint: Paint,
  headings: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string | undefined>>
): string => {
  if (rows.length === 0) return "none"
  const cells = [headings, ...rows.map((row) => row.map((cell) => plain(cell ?? "")))]
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => displayWidth(row[column] ?? ""))))
  const line = (row: ReadonlyArray<string>): string =>
    row.map((cell, column) =>
      column === row.length - 1 ? cell : cell + " ".repeat((widths[column] ?? 0) - displayWidth(cell))
    ).join("  ").trimEnd()
  return cells.map((row, index) => index === 0 ? paint("dim", line(row)) : line(row)).join("\n")
}

/** Names and values under each other; what is not there is left out. */
export const facts = (
  paint: Paint,
  rows: ReadonlyArray<readonly [name: string, value: string | undefined]>
): string => {
  const shown = rows.flatMap(([name, value]) => value === undefined ? [] : [[name, value] as const])
  const width = Math.max(0, ...shown.map(([name]) => name.length))
  return shown.map(([name, value]) => `${paint("dim", name.padEnd(width))}  ${plain(value)}`).join("\n")
}

/** A text without what a terminal would obey. */
export const plain = (text: string): string =>
  // eslint-disable-next-line no-control-regex
  text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, " ")
