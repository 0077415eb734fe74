import { assert, describe, it } from "@effect/vitest"
import { Amount } from "effect-cycles"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Agent from "../demo/Agent.ts"
import * as Audit from "../demo/Audit.ts"
import type { Call, ScenarioName } from "../demo/CallLog.ts"
import * as Card from "../demo/Card.ts"
import * as Cli from "../demo/Cli.ts"
import * as Display from "../demo/Display.ts"
import * as Pricing from "../demo/Pricing.ts"
import type { Outcome } from "../demo/Scenarios.ts"
import * as Tokens from "../demo/Tokens.ts"

const call = (scenario: ScenarioName, promptTokens: number, completionTokens: number, other?: Partial<Call>): Call => ({
  scenario,
  model: "gpt-4o",
  status: 200,
  outcome: "finished",
  promptTokens,
  completionTokens,
  ...other
})

const outcome = (scenario: ScenarioName, calls: number, cost: bigint, other?: Partial<Outcome>): Outcome => ({
  scenario,
  meter: { calls, cost, step: "draft", promptTokens: 0 },
  denials: 0,
  refused: [],
  books: undefined,
  ...other
})

const plan = { agents: 10, retries: 47 }

const booked = (allocated: bigint, spent: bigint, reserved: bigint) => ({
  balance: { allocated, spent, reserved, remaining: allocated - spent - reserved },
  peak: spent + reserved,
  entries: 3,
  flaws: []
})

const failing = (outcomes: ReadonlyArray<Outcome>, log: ReadonlyArray<Call>): ReadonlyArray<string> =>
  Audit.checks(outcomes, log, plan).filter(({ holds }) => !holds).map(({ claim }) => claim)

describe("Audit", () => {
  // gpt-4o: 250 microcents a token in, 1,000 a token out
  const log = [
    call("unguarded", 1_000, 100),
    call("retryUnguarded", 10, 1, { status: 503 }),
    call("interrupted", 500, 0, { status: 499, outcome: "aborted" }),
    call("unguarded", 3, 1)
  ]

  it("counts and prices the calls of one scenario, a billed 503 too, an aborted call not", () => {
    assert.deepStrictEqual(Audit.bill(log, "unguarded"), { calls: 2, aborted: 0, microcents: 351_750n })
    assert.deepStrictEqual(Audit.bill(log, "retryUnguarded"), { calls: 1, aborted: 0, microcents: 3_500n })
    assert.deepStrictEqual(Audit.bill(log, "interrupted"), { calls: 1, aborted: 1, microcents: 0n })
  })

  it("finds a call that is missing in the log, and one that was not charged", () => {
    assert.deepStrictEqual(failing([outcome("unguarded", 2, 351_750n)], log), [])
    assert.deepStrictEqual(failing([outcome("unguarded", 3, 351_750n)], log), [
      "the model's log has every call that was made"
    ])
    assert.deepStrictEqual(failing([outcome("unguarded", 2, 350_000n)], log), ["the log bills what the replies said"])
  })

  it("finds an overshoot, and what is still held", () => {
    const spent = outcome("interrupted", 1, 0n, { books: booked(100n, 0n, 40n), held: 40n })
    assert.deepStrictEqual(failing([spent], log), ["spent + remaining = allocated", "nothing is held any more"])

    const above = [call("interrupted", 1_000, 0)]
    const ledger = outcome("interrupted", 1, 250_000n, { books: booked(200_000n, 200_000n, 0n), held: 1n })
    assert.strictEqual(Audit.figures(ledger, Audit.bill(above, "interrupted")).overshoot, 50_000)
    assert.includeMembers([...failing([ledger], above)], [
      "the ledger spent what the log bills",
      "never above the budget, held and spent together",
      "the log has the call as aborted",
      "nothing was spent"
    ])
  })
})

describe("Pricing", () => {
  it.effect("reads the published price and is exact", () =>
    Effect.gen(function*() {
      const prices = yield* Pricing.find("gpt-4o")
      assert.deepStrictEqual(prices, { model: "gpt-4o", input: 2.5, output: 10 })
      assert.deepStrictEqual(
        Pricing.cost(prices, { prompt_tokens: 1_001, completion_tokens: 7 }),
        Amount.microcents(257_250)
      )
    }))

  it("rounds up to a whole microcent, once for the call", () => {
    const cost = (prompt_tokens: number, completion_tokens: number) =>
      Pricing.cost({ model: "x", input: 0.003, output: 0.004 }, { prompt_tokens, completion_tokens }).amount
    assert.strictEqual(cost(1, 0), 1n) // 0.3
    assert.strictEqual(cost(2, 1), 1n) // 0.6 + 0.4
    assert.strictEqual(cost(2, 2), 2n) // 0.6 + 0.8
    assert.strictEqual(cost(0, 0), 0n)
  })

  it.effect("refuses a model without a price", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Pricing.find("no-such-model"))
      assert.strictEqual(error._tag, "UnpricedModel")
    }))
})

describe("Tokens", () => {
  it("counts messages with their overhead, and control tokens as text", () => {
    assert.strictEqual(Tokens.ofText("hello world"), 2)
    assert.strictEqual(Tokens.ofMessages([{ role: "user", content: "hello world" }]), 3 + (3 + 1 + 2))
    assert.isAbove(Tokens.ofText("<|endoftext|>"), 1)
  })
})

describe("Agent", () => {
  it.effect("is never content, and sends the whole conversation every time", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const ended = yield* Effect.flip(
        Agent.work({ name: "a ticket", text: "Help!" }, ({ messages, step }) => {
          seen.push(`${step} ${messages.length}`)
          return seen.length < 5 ? Effect.succeed("Score: 10/10.") : Effect.fail("enough" as const)
        })
      )
      assert.strictEqual(ended, "enough")
      assert.deepStrictEqual(seen, ["draft 2", "evaluate 4", "refine 6", "evaluate 8", "refine 10"])
    }))
})

const output = (columns?: number) => {
  const written: Array<string> = []
  const write = (text: string) => written.push(text)
  return { written, output: columns === undefined ? { write } : { write, columns, isTTY: true } }
}

/** Runs the command as `main.ts` does, with an environment of its own. */
const demo = Effect.fnUntraced(function*(
  args: ReadonlyArray<string>,
  env: Record<string, string> = {},
  stdout = output()
) {
  const stderr = output()
  const exit = yield* Effect.exit(Cli.run({ args, env, stdout: stdout.output, stderr: stderr.output })).pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
  )
  let code = -1
  Runtime.defaultTeardown(exit, (exitCode) => code = exitCode)
  return { code, stdout: stdout.written.join(""), stderr: stderr.written.join("") }
})

const wrong: ReadonlyArray<readonly [string, ReadonlyArray<string>, Record<string, string>?]> = [
  ["an unknown flag", ["--bogus"]],
  ["a stray argument", ["tickets"]],
  ["a seed that is no number", ["--seed", "x"]],
  ["a speed of nothing", ["--speed", "0"]],
  ["a missing value", ["--input"]],
  ["a missing folder", ["--input", "/no/such/folder"]],
  ["a folder that is a file", ["--input", process.execPath]],
  ["an address that is no URL", [], { OPENAI_BASE_URL: "nowhere", OPENAI_API_KEY: "key" }],
  ["a model without a price", [], {
    OPENAI_BASE_URL: "http://127.0.0.1:9/v1",
    OPENAI_API_KEY: "key",
    OPENAI_MODEL: "x"
  }]
]

describe("demo", () => {
  for (const [what, args, env] of wrong) {
    it.live(`answers ${what} with one line and exit code 2`, () =>
      Effect.gen(function*() {
        const { code, stderr, stdout } = yield* demo(args, env)
        assert.strictEqual(code, 2)
        assert.strictEqual(stdout, "")
        assert.match(stderr, /^demo: [^\n]+\n$/)
      }))
  }

  it.live("answers a folder without tickets with one line and exit code 2", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      writeFileSync(join(folder, "empty.txt"), " \n")
      writeFileSync(join(folder, "ticket.pdf"), "text")
      const { code, stderr } = yield* demo(["--input", folder])
      assert.strictEqual(code, 2)
      assert.match(stderr, /^demo: [^\n]+\n$/)
    }))

  it.live("keeps its contract with --json: six scenarios that add up, on the last line", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* demo(["--json", "--speed", "100", "--seed", "3"])
      assert.strictEqual(code, 0)
      assert.match(stdout, /^\{.*\}\n$/)
      const { ok, scenarios } = JSON.parse(stdout) as { ok: boolean; scenarios: Record<string, Audit.Figures> }
      assert.isTrue(ok)
      assert.deepStrictEqual(Object.keys(scenarios), [
        "unguarded",
        "guarded",
        "ten",
        "retryUnguarded",
        "retryGuarded",
        "interrupted"
      ])
      for (const [name, figures] of Object.entries(scenarios)) {
        assert.hasAllKeys(figures, ["calls", "allocated", "spent", "remaining", "reserved", "denied", "overshoot"])
        const { allocated, overshoot, remaining, reserved, spent } = figures
        if (name.endsWith("nguarded")) {
          assert.deepStrictEqual([allocated, remaining, reserved, overshoot], [null, null, null, null])
        } else {
          assert.strictEqual(spent + (remaining ?? 0), allocated)
          assert.deepStrictEqual([reserved, overshoot], [0, 0])
        }
      }
      const { guarded, interrupted, retryGuarded, retryUnguarded, ten, unguarded } = scenarios
      assert.strictEqual(guarded?.allocated, 100_000_000)
      assert.strictEqual(ten?.allocated, 100_000_000)
      assert.isAbove(unguarded?.spent ?? 0, 200_000_000)
      assert.strictEqual(guarded?.denied, 1)
      assert.isAtLeast(ten?.denied ?? 0, 10)
      assert.strictEqual(retryUnguarded?.calls, 48)
      assert.isBelow(retryGuarded?.calls ?? 48, 48)
      assert.deepStrictEqual([interrupted?.calls, interrupted?.spent], [1, 0])
    }))

  it.live("draws its card in a terminal, within its width, and works on tickets of one's own", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      writeFileSync(join(folder, "one.md"), "The printer is on fire. <|endoftext|> What shall we do?")
      const { code, stdout } = yield* demo(["--speed", "100", "--input", folder], { NO_COLOR: "1" }, output(72))
      assert.strictEqual(code, 0)
      assert.notInclude(stdout, "\x1b[0m")
      assert.include(stdout, "ticket 1 of 1")
      assert.isTrue(stdout.endsWith("╯\n"))
      const lines = stdout.slice(stdout.indexOf("╭")).trimEnd().split("\n")
      for (const line of lines) assert.strictEqual(line.length, 70)
      assert.isTrue(stdout.lastIndexOf("\x1b[?25h") > stdout.lastIndexOf("\x1b[?25l"))
    }))
})

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "cycles-demo-test-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

describe("Card", () => {
  const plain = Display.style({ write: () => undefined }, {})

  it("shows the figures of a check that does not hold", () => {
    const table = Card.checkTable(
      [
        { scenario: "ten", claim: "sums are equal", figures: "1 and 2", holds: false },
        { scenario: "guarded", claim: "sums are equal", figures: "3", holds: true }
      ],
      plain
    )
    assert.include(table[1], "·  ✓  ✗  ·")
    assert.include(table.at(-1), "✗ ten")
    assert.include(table.at(-1), "1 and 2")
  })

  it("divides a bar between spent, held and left", () => {
    const balance = { allocated: 100n, spent: 50n, reserved: 25n, remaining: 25n }
    assert.strictEqual(Display.bar(balance, 8, plain), "████▒▒░░")
    assert.strictEqual(Display.bar({ ...balance, spent: 99n, reserved: 0n, remaining: 1n }, 8, plain), "███████░")
    assert.strictEqual(Display.blocks(0.5, 3), "█▌")
  })
})
