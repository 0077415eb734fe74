/**
 * `cycles balances`: a tenant's budgets as a tree.
 *
 * @internal
 */
import * as Amount from "effect-cycles/protocol/Amount"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { command, pages, read, tenantFlag, tenantIn, tenantOf } from "./client.ts"
import type { Colour, Paint } from "./Output.ts"
import * as Output from "./Output.ts"
import * as Views from "./Views.ts"

const WIDTH = 20

/** How many of so many cells a part of a whole fills; something is never nothing, and a part never all. */
const cells = (part: bigint, whole: bigint): number => {
  if (part <= 0n) return 0
  if (part >= whole) return WIDTH
  return Math.min(WIDTH - 1, Math.max(1, Number(part * BigInt(WIDTH) / whole)))
}

const percent = (part: bigint, whole: bigint): string =>
  whole === 0n ? (part > 0n ? " over" : "    -") : `${part * 100n / whole}%`.padStart(5)

const colourOf = (used: bigint, whole: bigint): Colour =>
  used * 100n >= whole * 95n ? "red" : used * 100n >= whole * 80n ? "yellow" : "green"

/** What was spent, what is held, what is left, and words for it. */
const bar = (budget: Views.Budget, paint: Paint): string => {
  const whole = budget.allocated.amount
  const spent = (budget.spent?.amount ?? 0n) + (budget.debt?.amount ?? 0n)
  const used = spent + (budget.reserved?.amount ?? 0n)
  const full = cells(spent, whole)
  const held = Math.max(0, cells(used, whole) - full)
  const notes = [
    `${Amount.format(budget.remaining)} left of ${Amount.format(budget.allocated)}`,
    budget.reserved !== undefined && budget.reserved.amount > 0n ? `${Amount.format(budget.reserved)} held` : undefined,
    budget.debt !== undefined && budget.debt.amount > 0n ? `${Amount.format(budget.debt)} owed` : undefined,
    budget.is_over_limit === true ? "over its limit" : undefined,
    budget.status === "ACTIVE" ? undefined : budget.status
  ].filter((note) => note !== undefined)
  const drawn = paint(colourOf(used, whole), "█".repeat(full) + "▒".repeat(held)) +
    paint("dim", "░".repeat(WIDTH - full - held))
  return `${drawn} ${percent(used, whole)}  ${notes.join(", ")}`
}

interface Node {
  readonly scope: string
  readonly budgets: Array<Views.Budget>
  readonly children: Array<Node>
}

const isBelow = (scope: string, ancestor: string): boolean => scope.startsWith(`${ancestor}/`)

/** Budgets under the nearest scope above them that has one. */
const forest = (budgets: ReadonlyArray<Views.Budget>): ReadonlyArray<Node> => {
  const roots: Array<Node> = []
  const path: Array<Node> = []
  // By their segments, so that everything below a scope follows it at once.
  const key = (scope: string): string => scope.replaceAll("/", "\u0000")
  const sorted = budgets.toSorted((a, b) =>
    key(a.scope) < key(b.scope) ? -1 : key(a.scope) > key(b.scope) ? 1 : a.unit < b.unit ? -1 : 1
  )
  for (const budget of sorted) {
    while (path.length > 0 && path[path.length - 1]?.scope !== budget.scope) {
      const last = path[path.length - 1]
      if (last !== undefined && isBelow(budget.scope, last.scope)) break
      path.pop()
    }
    const last = path[path.length - 1]
    if (last?.scope === budget.scope) last.budgets.push(budget)
    else {
      const node: Node = { scope: budget.scope, budgets: [budget], children: [] }
      if (last === undefined) roots.push(node)
      else last.children.push(node)
      path.push(node)
    }
  }
  return roots
}

/** The tree of budgets, a bar each. */
export const draw = (budgets: ReadonlyArray<Views.Budget>, paint: Paint): string => {
  const rows: Array<{ readonly label: string; readonly budget: Views.Budget }> = []
  const visit = (node: Node, above: string | undefined, prefix: string, isLast: boolean): void => {
    const name = above === undefined ? node.scope : node.scope.slice(above.length + 1)
    const branch = above === undefined ? "" : isLast ? "└─ " : "├─ "
    const deeper = above === undefined ? "" : isLast ? "   " : "│  "
    node.budgets.forEach((budget, index) => {
      const label = index === 0
        ? `${prefix}${branch}${Output.plain(name)}`
        : `${prefix}${deeper}${node.children.length > 0 ? "│" : " "}`
      rows.push({ label, budget })
    })
    node.children.forEach((child, index) =>
      visit(child, node.scope, prefix + deeper, index === node.children.length - 1)
    )
  }
  const roots = forest(budgets)
  for (const root of roots) visit(root, undefined, "", true)
  if (rows.length === 0) return "There are no budgets. Open one: cycles budget create"
  const width = Math.max(...rows.map(({ label }) => label.length))
  return rows.map(({ budget, label }) => `${label.padEnd(width)}  ${bar(budget, paint)}`).join("\n")
}

/** The budgets of a tenant, or those at or below a scope. */
export const budgetsOf = (tenant_id: string | undefined, scope: string | undefined) =>
  pages("ledgers", { path: "/v1/admin/budgets", query: { tenant_id, scope_prefix: scope } })

export const balances = command(
  "balances",
  {
    scope: Argument.String("scope").pipe(
      Argument.withDescription("Only budgets at or below it"),
      Argument.optional
    ),
    tenant: tenantFlag
  },
  Effect.fnUntraced(function*({ scope, tenant }) {
    const tenant_id = Option.isSome(scope) ? yield* tenantIn(scope.value) : yield* tenantOf(tenant)
    const ledgers = yield* budgetsOf(tenant_id, Option.getOrUndefined(scope))
    const rows = yield* read(Views.Budgets)(ledgers)
    yield* Output.print({ ledgers }, (paint) => draw(rows, paint))
  })
).pipe(
  Command.withDescription("Show a tenant's budgets as a tree: what is spent, held and left"),
  Command.withExamples([
    { command: "cycles balances --tenant acme" },
    { command: "cycles balances tenant:acme/workspace:eng --json" }
  ])
)
