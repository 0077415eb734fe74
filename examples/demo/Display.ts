/**
 * What one sees: live progress and bars in a terminal, plain lines elsewhere.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Model from "./Model.ts"
import { usd } from "./Money.ts"
import type { Balance } from "./Scenarios.ts"

/** A moment of a scenario that is running. */
export interface View {
  readonly meter: Model.Meter
  readonly balance?: Balance
}

export class Display extends Context.Service<Display, {
  /** Shows a title, and how the work goes while it runs. */
  readonly during: <E, R, A, E2, R2>(
    title: string,
    view: Effect.Effect<View, E, R>,
    work: Effect.Effect<A, E2, R2>
  ) => Effect.Effect<A, E2, R | R2>
  /** What has become of a budget. */
  readonly bar: (balance: Balance) => Effect.Effect<void>
  /** A paragraph below a title. */
  readonly note: (text: string) => Effect.Effect<void>
  readonly print: (lines: ReadonlyArray<string>) => Effect.Effect<void>
  readonly style: Style
}>()("examples/demo/Display") {}

/** What the demo needs of stdout and stderr. */
export interface Output {
  readonly write: (text: string) => unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

/** Where and how to write; `live` repaints lines and needs a terminal for it. */
export interface Style {
  readonly out: Output
  readonly live: boolean
  readonly width: number
  readonly red: (text: string) => string
  readonly green: (text: string) => string
  readonly yellow: (text: string) => string
  readonly dim: (text: string) => string
  readonly bold: (text: string) => string
}

/** Colours follow https://no-color.org; a terminal too narrow for a bar gets plain lines. */
export const style = (out: Output, env: Readonly<Record<string, string | undefined>>): Style => {
  const columns = out.columns ?? 80
  const live = out.isTTY === true && env["TERM"] !== "dumb" && columns >= 60
  const colour = (code: number) => (text: string) => live && !env["NO_COLOR"] ? `\x1b[${code}m${text}\x1b[0m` : text
  return {
    out,
    live,
    width: Math.min(columns, 100),
    red: colour(31),
    green: colour(32),
    yellow: colour(33),
    dim: colour(2),
    bold: colour(1)
  }
}

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

/** A length in eighths of a character, as a run of blocks. */
export const blocks = (share: number, width: number): string => {
  const length = Math.max(share > 0 ? 1 : 0, Math.round(share * width * 8))
  return "█".repeat(Math.floor(length / 8)) + (eighths[length % 8] ?? "")
}

/** Spent, held and left, side by side. */
export const bar = ({ allocated, remaining, reserved }: Balance, width: number, style: Style): string => {
  const cells = (amount: bigint) => Math.round(Number(amount) / Math.max(1, Number(allocated)) * width)
  const left = Math.min(width, remaining > 0n ? Math.max(1, cells(remaining)) : 0)
  const held = Math.min(width - left, reserved > 0n ? Math.max(1, cells(reserved)) : 0)
  return style.green("█".repeat(width - left - held)) + style.yellow("▒".repeat(held)) + style.dim("░".repeat(left))
}

const indent = "   "

const sums = ({ remaining, reserved, spent }: Balance): string =>
  `${usd(spent)} spent, ${usd(reserved)} held, ${usd(remaining)} left`

const frame = ({ balance, meter }: View, style: Style): ReadonlyArray<string> => {
  const activity = meter.step === undefined
    ? "starting"
    : `call ${meter.calls}, ${meter.step}, ${meter.promptTokens.toLocaleString("en-US")} prompt tokens`
  return balance === undefined
    ? [`${indent}${style.red(`${usd(meter.cost)} spent`)}`, `${indent}${style.dim(activity)}`]
    : [
      `${indent}${bar(balance, Math.min(40, style.width - 10), style)}`,
      `${indent}${sums(balance)}`,
      `${indent}${style.dim(activity)}`
    ]
}

/** Breaks a text between words. */
export const wrap = (text: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else {
      line = line === "" ? word : `${line} ${word}`
    }
  }
  return [...lines, line]
}

const HIDE_CURSOR = "\x1b[?25l"
const SHOW_CURSOR = "\x1b[?25h"
const up = (lines: number): string => lines === 0 ? "" : `\x1b[${lines}A\r\x1b[0J`

export const layer = (style: Style): Layer.Layer<Display> =>
  Layer.sync(Display, () => {
    const write = (text: string) => Effect.sync(() => void style.out.write(text))
    const print = (lines: ReadonlyArray<string>) => write(lines.map((line) => `${line}\n`).join(""))
    const indented = (lines: ReadonlyArray<string>) => print(lines.map((line) => indent + line))

    const repaint = <E, R>(view: Effect.Effect<View, E, R>) =>
      Effect.suspend(() => {
        let painted = 0
        const paint = Effect.flatMap(view, (view) => {
          const lines = frame(view, style)
          const text = up(painted) + lines.map((line) => `${line}\n`).join("")
          painted = lines.length
          return write(text)
        })
        return write(HIDE_CURSOR).pipe(
          Effect.andThen(Effect.forever(Effect.andThen(paint, Effect.sleep("80 millis")))),
          // The last frame goes, whoever ends the painting; nobody is left behind without a cursor.
          Effect.ensuring(Effect.suspend(() => write(up(painted) + SHOW_CURSOR)))
        )
      })

    return Display.of({
      style,
      print,
      note: (text) => indented(style.live ? wrap(text, style.width - 2 * indent.length) : [text]),
      bar: (balance) =>
        indented(style.live ? [bar(balance, Math.min(40, style.width - 10), style), sums(balance)] : [sums(balance)]),
      during: (title, view, work) => {
        const shown = style.live
          ? Effect.raceFirst(work, Effect.andThen(Effect.ignore(repaint(view)), Effect.never))
          : work
        return Effect.andThen(print(["", style.bold(title)]), shown)
      }
    })
  })
