/**
 * The end of the demo: what held, and a card to remember it by.
 */
import type { Check, Figures } from "./Audit.ts"
import type { ScenarioName } from "./CallLog.ts"
import type { Style } from "./Display.ts"
import { blocks } from "./Display.ts"
import { usd } from "./Money.ts"

export interface Report {
  readonly model: string
  readonly scenarios: Readonly<Record<ScenarioName, Figures>>
  readonly checks: ReadonlyArray<Check>
  readonly retries: number
  readonly seconds: number
}

export const holds = ({ checks }: Report): boolean => checks.length > 0 && checks.every((check) => check.holds)

const columns: ReadonlyArray<readonly [ScenarioName, string]> = [
  ["unguarded", "1"],
  ["guarded", "2"],
  ["ten", "3"],
  ["retryUnguarded", "4a"],
  ["retryGuarded", "4b"],
  ["interrupted", "5"]
]

const mark = (holds: boolean, style: Style): string => holds ? style.green("✓") : style.red("✗")

/** One line per check, with the figures compared. */
export const checkList = (checks: ReadonlyArray<Check>, style: Style): ReadonlyArray<string> => {
  const widest = Math.max(...checks.map(({ claim }) => claim.length))
  return checks.map(({ claim, figures, holds, scenario }) =>
    `${mark(holds, style)} ${scenario.padEnd(14)}  ${claim.padEnd(widest)}  ${figures}`
  )
}

/** One line per claim, one column per scenario; the figures only where something is wrong. */
export const checkTable = (checks: ReadonlyArray<Check>, style: Style): ReadonlyArray<string> => {
  const claims = Array.from(new Set(checks.map(({ claim }) => claim)))
  const widest = Math.max(...claims.map((claim) => claim.length))
  const heading = "Does it add up? From the log on the model's side:"
  const wrong = checks.filter(({ holds }) => !holds)
  return [
    style.dim(`${heading.padEnd(widest)}   ${columns.map(([, label]) => label.padEnd(3)).join("")}`),
    ...claims.map((claim) => {
      const marks = columns.map(([name]) => {
        const check = checks.find((check) => check.claim === claim && check.scenario === name)
        return check === undefined ? style.dim("·") : mark(check.holds, style)
      })
      return `${claim.padEnd(widest)}   ${marks.join("  ")}`
    }),
    ...(wrong.length === 0 ? [] : ["", ...checkList(wrong, style)])
  ]
}

/** The same facts without a box, for what is no terminal. */
export const summary = (report: Report): ReadonlyArray<string> => [
  ...Object.entries(report.scenarios).map(([name, { allocated, calls, spent }]) =>
    `${name.padEnd(14)}  ${usd(BigInt(spent))}${
      allocated === null ? "" : ` of ${usd(BigInt(allocated))}`
    } in ${calls} calls`
  ),
  closing(report)
]

const closing = (report: Report): string => {
  const figures = Object.values(report.scenarios)
  const calls = figures.reduce((sum, { calls }) => sum + calls, 0)
  const overshoot = figures.reduce((sum, { overshoot }) => sum + (overshoot ?? 0), 0)
  const passed = report.checks.filter(({ holds }) => holds).length
  return `${calls} calls over HTTP, overshoot ${usd(BigInt(overshoot), 2)}, ` +
    `${passed} of ${report.checks.length} checks hold, ${report.seconds.toFixed(1)} s`
}

// Escape sequences take no room on the screen.
// oxlint-disable-next-line no-control-regex
const visible = (text: string): number => text.replace(/\x1b\[\d+m/g, "").length

export const card = (report: Report, style: Style): ReadonlyArray<string> => {
  const { scenarios } = report
  const width = Math.min(style.width, 80) - 4
  // Against a real endpoint the scenarios are small, and so are their sums.
  const money = (microcents: number): string => usd(BigInt(microcents), scenarios.unguarded.spent < 1e7 ? 4 : 2)
  const budget = (name: ScenarioName): string => money(scenarios[name].allocated ?? 0)
  const labelled = (label: string, spent: number): string => `${label.padEnd(19)}${money(spent).padStart(7)}   `
  const room = width - 2 * 3 - visible(labelled("", 0))
  const row = (label: string, name: ScenarioName, most: ScenarioName): string => {
    const { allocated, spent } = scenarios[name]
    const length = blocks(spent / Math.max(1, scenarios[most].spent), room)
    return labelled(label, spent) + (allocated === null ? style.red(length) : style.green(length))
  }
  const { interrupted } = scenarios
  const lines = [
    "",
    style.bold("The agent never stops. The budget does."),
    "",
    row("no budget", "unguarded", "unguarded"),
    row(`a budget of ${budget("guarded")}`, "guarded", "unguarded"),
    row("ten agents on it", "ten", "unguarded"),
    "",
    row(`${report.retries} retries`, "retryUnguarded", "retryUnguarded"),
    row(`the same on ${budget("retryGuarded")}`, "retryGuarded", "retryUnguarded"),
    "",
    labelled("interrupted", interrupted.spent) +
    (interrupted.reserved === 0 ? "its hold is back" : style.red(`${money(interrupted.reserved ?? 0)} still held`)),
    "",
    holds(report) ? style.green(closing(report)) : style.red(closing(report)),
    ""
  ]
  const heading = ` effect-cycles, ${report.model} `
  return [
    `╭─${heading}${"─".repeat(width - heading.length - 1)}╮`,
    ...lines.map((line) => `│   ${line}${" ".repeat(Math.max(0, width - 3 - visible(line)))}│`),
    `╰${"─".repeat(width)}╯`
  ]
}
