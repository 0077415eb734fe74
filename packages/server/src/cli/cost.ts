/**
 * `cycles cost`: whom spending is put down to.
 *
 * @internal
 */
import * as Api from "@effect-cycles/http/HistoryApi"
import type { Dimension } from "effect-cycles/ledger/Attribution"
import { dimensions } from "effect-cycles/ledger/Attribution"
import type { Unit } from "effect-cycles/protocol/Amount"
import * as Amount from "effect-cycles/protocol/Amount"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { writeFile } from "node:fs/promises"
import * as Amounts from "./Amounts.ts"
import { call, command, instantOf, pages, read, tenantFlag, tenantIn, tenantOf } from "./client.ts"
import type { CommandError } from "./CommandError.ts"
import { usage } from "./CommandError.ts"
import { Connection } from "./Connection.ts"
import type { Paint } from "./Output.ts"
import * as Output from "./Output.ts"
import * as Views from "./Views.ts"

const WIDTH = 20

type Row = Api.Costs["rows"][number]

/** What was spent in a unit, by all the tenants that were asked for. */
interface Spent {
  readonly unit: Unit
  readonly spent: bigint
  readonly rows: ReadonlyArray<Row>
}

const labelOf = ({ dimension, value }: Row["steps"][number]): string =>
  dimension === "action" || dimension === "model" ? value : `${dimension}:${value}`

const format = (unit: Unit, amount: bigint): string => Amount.format({ unit, amount })

/** How many of so many cells a part of a whole fills; something is never nothing. */
const cells = (part: bigint, whole: bigint): number =>
  part <= 0n || whole <= 0n ? 0 : Math.max(1, Number(part * BigInt(WIDTH) / whole))

/** What was spent for exactly this `█`, and for what is below it `▒`. */
const bar = ({ own, total }: Row, whole: bigint, paint: Paint): string => {
  const all = cells(total.amount, whole)
  const full = Math.min(all, cells(own.amount, whole))
  return paint("green", "█".repeat(full) + "▒".repeat(all - full)) + paint("dim", "░".repeat(WIDTH - all))
}

const percent = (part: bigint, whole: bigint): string => whole === 0n ? "-" : `${part * 100n / whole}%`

/** The tree of costs, a bar each, and what they add up to. */
export const draw = ({ rows, spent, unit }: Spent, paint: Paint): string => {
  const lines = rows.map((row) => ({
    name: `${"  ".repeat(Math.max(0, row.steps.length - 1))}${
      Output.plain(labelOf(row.steps[row.steps.length - 1] ?? { dimension: "model", value: "(none of these)" }))
    }`,
    own: format(unit, row.own.amount),
    total: format(unit, row.total.amount),
    share: percent(row.total.amount, spent),
    bar: bar(row, spent, paint)
  }))
  const last = { name: "total", own: format(unit, spent), total: format(unit, spent), share: "", bar: "" }
  const head = { name: "COST", own: "OWN", total: "WITH BELOW", share: "", bar: "" }
  const all = [head, ...lines, last]
  const width = (of: "name" | "own" | "share" | "total"): number => Math.max(...all.map((line) => line[of].length))
  const [name, own, total, share] = [width("name"), width("own"), width("total"), width("share")]
  return all.map((line) => {
    const text = `${line.name.padEnd(name)}  ${line.own.padStart(own)}  ${line.total.padStart(total)}  ${
      line.share.padStart(share)
    }`
    return line === head ? paint("dim", text.trimEnd()) : line === last ? text.trimEnd() : `${text}  ${line.bar}`
  }).join("\n")
}

/** A frame's name: the format sets frames apart by semicolons and ends a line with the count. */
const frameOf = (step: Row["steps"][number]): string => Output.plain(labelOf(step)).replaceAll(";", "%3b")

/** The folded stacks of flame graphs: a line for each place something was charged for, its frames, and its own cost. */
export const fold = (rows: ReadonlyArray<Row>): string =>
  rows
    .filter(({ own }) => own.amount > 0n)
    .map(({ own, steps }) => `${steps.length === 0 ? "(none)" : steps.map(frameOf).join(";")} ${own.amount}\n`)
    .join("")

const byFlag = Flag.String("by").pipe(
  Flag.withMetavar("WHAT,…"),
  Flag.withDescription(`What to break it down by, in this order, with commas between: ${dimensions.join(", ")}`),
  Flag.withDefault("workflow,agent,model")
)

const dimensionsOf = (text: string): Effect.Effect<ReadonlyArray<Dimension>, CommandError> =>
  Effect.forEach(text.split(","), (part) => {
    const found = dimensions.find((dimension) => dimension === part.trim())
    return found === undefined
      ? Effect.fail(
        usage(`--by ${text}: "${part.trim()}" is nothing to go by`, `Choose from ${dimensions.join(", ")}`)
      )
      : Effect.succeed(found)
  })

/** Whose spending: of all tenants where they are told apart. */
const tenantsOf = Effect.fnUntraced(function*(
  tenant: Option.Option<string>,
  scope: Option.Option<string>,
  by: ReadonlyArray<Dimension>
) {
  if (Option.isSome(scope)) return [yield* tenantIn(scope.value)]
  const { isOperator } = yield* Connection
  const areToldApart = by[0] === "tenant" || by[0] === "scope"
  if (Option.isSome(tenant) || !isOperator || !areToldApart) return [yield* tenantOf(tenant)]
  const all = yield* Effect.flatMap(pages("tenants", { path: "/v1/admin/tenants" }), read(Views.Tenants))
  return all.map(({ tenant_id }) => tenant_id)
})

const units: ReadonlyArray<Unit> = Amount.Unit.literals

export const cost = command(
  "cost",
  {
    by: byFlag,
    since: Flag.String("since").pipe(
      Flag.withDescription(
        "From then on: 24h ago, or a date-time such as 2026-01-31T12:00:00Z; the hour it is in counts"
      ),
      Flag.withDefault("24h")
    ),
    until: Flag.String("until").pipe(
      Flag.withDescription("Up to then, written like --since; until now when not given"),
      Flag.optional
    ),
    scope: Flag.String("scope").pipe(
      Flag.withDescription("Only what was spent at or below it"),
      Flag.optional
    ),
    unit: Amounts.unitFlag.pipe(Flag.withDescription("Only this unit; every one that was spent when not given")),
    tenant: tenantFlag,
    flame: Flag.String("flame").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Write it there as folded stacks too, for flamegraph.pl, inferno or speedscope"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function*({ flame, scope, since, tenant, unit, until, ...input }) {
    const by = yield* dimensionsOf(input.by)
    const from = yield* instantOf("--since", since)
    const to = yield* instantOf("--until", Option.getOrElse(until, () => "0s"))
    const tenants = yield* tenantsOf(tenant, scope, by)
    const spending = yield* Effect.forEach(
      Option.match(unit, { onNone: () => units, onSome: (one) => [one] }),
      (unit) =>
        Effect.map(
          Effect.forEach(tenants, (tenant_id) =>
            Effect.flatMap(
              call({
                method: "GET",
                path: "/v1/admin/history/costs",
                query: { tenant_id, unit, by: by.join(","), from, to, scope: Option.getOrUndefined(scope) }
              }),
              read(Api.Costs)
            )),
          (answers): Spent => ({
            unit,
            spent: answers.reduce((sum, { spent }) => sum + spent.amount, 0n),
            rows: answers.toSorted((a, b) => a.spent.amount > b.spent.amount ? -1 : 1).flatMap(({ rows }) => rows)
          })
        )
    )
    const costs = spending.filter(({ rows }) => rows.length > 0)
    if (Option.isSome(flame)) {
      if (costs.length > 1) {
        return yield* usage(
          `There was spending in ${costs.map(({ unit }) => unit).join(" and ")}, which one file cannot add up`,
          "Say which by --unit"
        )
      }
      const file = flame.value
      yield* Effect.tryPromise({
        try: () => writeFile(file, fold(costs[0]?.rows ?? [])),
        catch: () => usage(`${file} cannot be written`, "Check that its folder exists and may be written to")
      })
    }
    const document = costs.map(({ rows, spent, unit }) => ({ unit, spent: { unit, amount: spent }, rows }))
    yield* Output.print({ by, from, to, costs: document }, (paint) =>
      costs.length === 0
        ? `Nothing was spent from ${from} to ${to}`
        : costs.map((spent) => draw(spent, paint)).join("\n\n"))
  })
).pipe(
  Command.withDescription("Show what was spent on whom: own cost, with what is below it, and their sum"),
  Command.withExamples([
    { command: "cycles cost --by agent,model --since 24h" },
    { command: "cycles cost --by tenant --since 30d --unit usd" },
    { command: "cycles cost --by scope,model --since 7d --unit usd --flame cost.folded" }
  ])
)
