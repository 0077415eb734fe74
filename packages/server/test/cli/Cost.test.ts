import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Json } from "../support/cycles.ts"
import { onStore } from "../support/cycles.ts"

const ACME = "tenant:acme"
const REPORT = `${ACME}/workflow:report`

const call = (agent: string, model: string, amount: number, reported?: string) =>
  Budget.guard(
    {
      action: Action.make("llm.completion", model),
      estimate: Amount.tokens(amount + 50),
      subject: { agent }
    },
    (r) =>
      Effect.succeed(
        r.commit(
          Amount.tokens(amount),
          undefined,
          reported === undefined ? {} : { metrics: { modelVersion: reported } }
        )
      )
  )

/** A day of two tenants: a workflow whose agents share an allotment, a guard beside it, and another tenant with little. */
const furnish = (world: Effect.Success<typeof onStore>) =>
  world.inside((operator, ledger: Ledger.Operations) =>
    Effect.gen(function*() {
      yield* operator.createTenant("acme", { name: "Acme" })
      yield* operator.createTenant("beta", { name: "Beta" })
      for (const scope of [ACME, REPORT, `${REPORT}/agent:writer`]) {
        yield* operator.createBudget("acme", { scope, allocated: Amount.tokens(100_000) })
      }
      yield* operator.createBudget("acme", { scope: ACME, allocated: Amount.usd(5) })
      yield* operator.createBudget("beta", { scope: "tenant:beta", allocated: Amount.tokens(1_000) })
      const budget = Budget.layer().pipe(
        Layer.provide(Layer.succeed(BudgetAuthority.BudgetAuthority, ledger.as({ tenant: "acme" })))
      )
      yield* Effect.gen(function*() {
        yield* Budget.allot(
          { action: Action.make("agent.run", "research"), estimate: Amount.tokens(5_000) },
          Effect.gen(function*() {
            yield* call("reader", "gpt-4o", 300)
            yield* call("reader", "gpt-4o", 400, "gpt-4o-2024-08-06")
            yield* call("writer", "gpt-4o-mini", 1_000)
          })
        )
        yield* call("writer", "gpt-4o", 300)
      }).pipe(Budget.within({ workflow: "report" }), Effect.provide(budget))
      yield* ledger.as({ tenant: "beta" }).event({
        idempotencyKey: IdempotencyKey.make("1"),
        subject: { agent: "bot" },
        action: { kind: "tool.search", name: "a;b c" },
        actual: Amount.tokens(7)
      })
    })
  )

const sumOf = (rows: ReadonlyArray<Json>, of: "own" | "total"): bigint =>
  rows.reduce((sum, row) => sum + BigInt(row[of].amount), 0n)

const placeOf = ({ steps }: Json): string =>
  steps.map(({ dimension, value }: Json) => `${dimension}:${value}`).join("/")

describe("cycles cost", () => {
  it.live("adds up to what the budgets say was spent, however it is broken down", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      yield* furnish(world)
      const { ledgers } = yield* world.json("balances --tenant acme")
      const spent = new Map<string, bigint>(
        ledgers.filter(({ unit }: Json) => unit === "TOKENS").map((
          budget: Json
        ) => [budget["scope"], BigInt(budget["spent"].amount)])
      )
      assert.strictEqual(spent.get(ACME), 2_000n)
      for (const by of ["scope", "agent", "model,action", "workflow,agent,model", "toolset", "tenant"]) {
        const { costs } = yield* world.json(`cost --tenant acme --by ${by}`)
        assert.lengthOf(costs, 1)
        assert.deepStrictEqual(costs[0].spent, { unit: "TOKENS", amount: 2_000 })
        assert.strictEqual(sumOf(costs[0].rows, "own"), 2_000n, by)
      }
      const { costs: [tree] } = yield* world.json("cost --tenant acme --by scope")
      const totals = new Map(tree.rows.map((row: Json) => [placeOf(row), BigInt(row["total"].amount)]))
      assert.deepStrictEqual([totals.get(ACME), totals.get(REPORT)], [spent.get(ACME), spent.get(REPORT)])
      // The agents of an allotment spend what was held for their parent, whose budgets are charged; each costs what it used.
      assert.strictEqual(spent.get(`${REPORT}/agent:writer`), 300n)
      assert.strictEqual(totals.get(`${REPORT}/agent:writer`), 1_300n)
      const { costs: [agents] } = yield* world.json("cost --tenant acme --by agent,model")
      assert.deepStrictEqual(
        agents.rows.map((row: Json) => [placeOf(row), row["own"].amount, row["total"].amount]),
        [
          ["agent:writer", 0, 1_300],
          ["agent:writer/model:gpt-4o-mini", 1_000, 1_000],
          ["agent:writer/model:gpt-4o", 300, 300],
          ["agent:reader", 0, 700],
          ["agent:reader/model:gpt-4o-2024-08-06", 400, 400],
          ["agent:reader/model:gpt-4o", 300, 300]
        ]
      )
    }).pipe(Effect.scoped))

  it.live("draws them as a tree with a total", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      yield* furnish(world)
      const { out } = yield* world.run("cost --by tenant,agent --since 1h --unit tokens")
      assert.deepStrictEqual(out[0]?.split("\n"), [
        "COST                    OWN   WITH BELOW",
        "tenant:acme        0 TOKENS  2000 TOKENS  99%  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒░",
        "  agent:writer  1300 TOKENS  1300 TOKENS  64%  ████████████░░░░░░░░",
        "  agent:reader   700 TOKENS   700 TOKENS  34%  ██████░░░░░░░░░░░░░░",
        "tenant:beta        0 TOKENS     7 TOKENS   0%  ▒░░░░░░░░░░░░░░░░░░░",
        "  agent:bot        7 TOKENS     7 TOKENS   0%  █░░░░░░░░░░░░░░░░░░░",
        "total           2007 TOKENS  2007 TOKENS"
      ])
    }).pipe(Effect.scoped))

  it.live("shows what the README shows", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      yield* world.inside((operator, ledger) =>
        Effect.gen(function*() {
          yield* operator.createTenant("acme", { name: "Acme" })
          yield* operator.createBudget("acme", { scope: ACME, allocated: Amount.usd(25) })
          const charges = [
            [{ tenant: "acme" }, "1.00"],
            [{ workflow: "report" }, "0.75"],
            [{ workflow: "report", agent: "writer" }, "2.25"]
          ] as const
          for (const [subject, usd] of charges) {
            yield* ledger.as({ tenant: "acme" }).event({
              idempotencyKey: IdempotencyKey.make(usd),
              subject,
              action: { kind: "llm.completion", name: "gpt-4o" },
              actual: Amount.usd(usd)
            })
          }
        })
      )
      const { out } = yield* world.run("cost --by workflow,agent --since 24h")
      const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8")
      assert.strictEqual(/### What it cost.*?```text\n(.*?)\n```/s.exec(readme)?.[1], out[0])
    }).pipe(Effect.scoped))

  it.live("writes folded stacks that have all of it", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      yield* furnish(world)
      const file = join(world.directory, "cost.folded")
      yield* world.json("cost --by scope,model --flame", file)
      const text = readFileSync(file, "utf8")
      assert.deepStrictEqual(text.split("\n"), [
        "tenant:acme;workflow:report;agent:writer;gpt-4o-mini 1000",
        "tenant:acme;workflow:report;agent:writer;gpt-4o 300",
        "tenant:acme;workflow:report;agent:reader;gpt-4o-2024-08-06 400",
        "tenant:acme;workflow:report;agent:reader;gpt-4o 300",
        "tenant:beta;agent:bot;a%3bb c 7",
        ""
      ])
      const refused = yield* world.run("cost --tenant acme --flame", join(world.directory, "missing", "cost.folded"))
      assert.strictEqual(refused.code, 2)
      assert.include(refused.err.join(), "cannot be written")
    }).pipe(Effect.scoped))

  it.live("says what it was not told", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      yield* furnish(world)
      const said = (line: string) =>
        Effect.map(world.run(line), ({ code, err, out }) => [code, [...out, ...err].join()] as const)
      const several = yield* said("cost --by agent")
      assert.strictEqual(several[0], 2)
      assert.include(several[1], "several tenants")
      const mood = yield* said("cost --tenant acme --by mood")
      assert.strictEqual(mood[0], 2)
      assert.include(mood[1], "\"mood\"")
      assert.strictEqual((yield* said("cost --tenant acme --by scope,agent"))[0], 2)
      assert.strictEqual((yield* said("cost --tenant acme --since yesterday"))[0], 2)
      const nothing = yield* said("cost --tenant acme --unit usd")
      assert.strictEqual(nothing[0], 0)
      assert.match(nothing[1], /^Nothing was spent/)
    }).pipe(Effect.scoped))

  it.live("keeps units apart", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      yield* furnish(world)
      yield* world.inside((_, ledger) =>
        ledger.as({ tenant: "acme" }).event({
          idempotencyKey: IdempotencyKey.make("dollars"),
          subject: { agent: "writer" },
          action: { kind: "tool.search", name: "web" },
          actual: Amount.usd("0.25")
        })
      )
      const { costs } = yield* world.json("cost --tenant acme --by agent")
      assert.deepStrictEqual(
        costs.map(({ spent }: Json) => spent),
        [{ unit: "USD_MICROCENTS", amount: 25_000_000 }, { unit: "TOKENS", amount: 2_000 }]
      )
      const { code, err } = yield* world.run("cost --tenant acme --flame", join(world.directory, "cost.folded"))
      assert.strictEqual(code, 2)
      assert.include(err.join(), "--unit")
    }).pipe(Effect.scoped))
})
