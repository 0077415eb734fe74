// Requests at random against a server in this process. CYCLES_REQUESTS says how many (about); CYCLES_SEED, as a failure prints it,
// runs the same sequences again.
import { WireJson } from "@effect-cycles/http"
import { WireFuzz } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import type { Answer, World } from "./world.ts"
import { judge, make, own } from "./world.ts"

/** How many steps the longest sequences have. They grow to it, so that a quarter of it is what they have on average. */
const SIZE = 80

const learned: ReadonlySet<string> = new Set(["reservation_id", "next_cursor"])

/** How often an operation is called, where not once in a while. */
const weights: { readonly [operationId: string]: number } = {
  createReservation: 8,
  commitReservation: 4,
  releaseReservation: 2,
  extendReservation: 3,
  createEvent: 3,
  listReservations: 2
}

const steps = Arbitrary.map(
  WireFuzz.makeArbitrary({
    operations: own.operations
      .filter(({ plane }) => plane === "runtime")
      .flatMap((operation) => Array.from({ length: weights[operation.operationId] ?? 1 }, () => operation)),
    headers: () => ({ "x-cycles-api-key": "full" }),
    strangers: [{}, { "x-cycles-api-key": "" }, { "x-cycles-api-key": "nobody's" }, { "x-cycles-api-key": "reader" }],
    values: {
      reservation_id: ["⟨reservation_id⟩"],
      cursor: ["⟨next_cursor⟩"],
      limit: [1, 2, 50],
      idempotency_key: Array.from({ length: 30 }, (_, i) => `k-${i}`),
      tenant: ["acme", "acme", "acme", "beta"],
      agent: ["bot", "bot", "writer"],
      ...Object.fromEntries(["workspace", "app", "workflow", "toolset"].map((level) => [level, ["eng", "a.b-c_9"]])),
      unit: ["TOKENS", "TOKENS", "TOKENS", "TOKENS", "USD_MICROCENTS", "CREDITS"],
      ttl_ms: [1_000, 60_000, 86_400_000],
      grace_period_ms: [0, 5_000],
      evidence_id: ["ab".repeat(32)]
    }
  }),
  (steps) => steps.filter((step) => step._tag === "Wait" || step.method !== "OPTIONS")
)

type Exchange = { readonly request: WireFuzz.Send; readonly answer: Answer }

/** What is wrong with an answer, if anything. */
const wrongWith = ({ answer, request }: Exchange, changes: ReadonlyArray<string>): ReadonlyArray<string> => {
  const { body, headers, method, path } = request
  const { status } = answer
  const wrong: Array<string> = []
  if (status >= 500) wrong.push(`a fault of the server: ${status}`)
  // What is not served is nowhere.
  const isServed = own.request({ method, path, headers }).operation !== undefined
  wrong.push(
    ...judge.response({ ...answer, ...isServed ? { method, path } : { method: "GET", path: "/nowhere" } }).problems
  )
  if (status >= 400 && changes.length > 0) wrong.push(`refused, and yet it wrote ${changes.join(", ")}`)
  // A byte order mark may be ignored (RFC 8259, section 8.1), and is.
  const text = typeof body === "string" ? body.replace(/^\ufeff/, "") : undefined
  const flaws = judge.request({ method, path, headers, body: text }).problems
    // Content types may have a suffix or parameters; keys and query strings have rules of their own.
    .filter((flaw) => flaw.startsWith("body") || flaw.startsWith("the body") || flaw.startsWith("path"))
  if (flaws.length > 0 && status < 400) wrong.push(`taken, although ${flaws.join(", ")}`)
  const parsed = WireJson.parse(answer.body)
  const refusal = Result.isSuccess(parsed) ? parsed.success as { error?: string; message?: string; details?: any } : {}
  if (status === 400 && refusal.error === "INVALID_REQUEST") {
    const field: unknown = refusal.details?.field
    if (typeof field !== "string" || field === "") wrong.push("a flaw without its field")
    if ((refusal.message ?? "").length < 10) wrong.push("a flaw without its rule")
  }
  if (answer.body.includes("at file:") || answer.body.includes(".ts:")) wrong.push("it shows its inside")
  return wrong
}

const show = ({ answer, request }: Exchange): string => {
  const { body, method, operationId, path, twists } = request
  return `${method} ${path.slice(0, 300)} (${[operationId, ...twists].join("; ")})\n    ${
    String(body ?? "").slice(0, 600)
  }\n    ${answer.status} ${answer.body.slice(0, 600)}`
}

const withKeys = (request: WireFuzz.Send, keys: World["keys"]): WireFuzz.Send => {
  const name = request.headers["x-cycles-api-key"]
  return name === "full" || name === "reader"
    ? { ...request, headers: { ...request.headers, "x-cycles-api-key": keys[name] } }
    : request
}

const counts = new Map<number, number>()

/** Runs a sequence on a server of its own; what was wrong, with all that was sent until then. */
const run = (sequence: ReadonlyArray<WireFuzz.Step>): Effect.Effect<string | undefined> =>
  Effect.gen(function*() {
    const { changes, keys, send, verify } = yield* make
    const seen: WireFuzz.Seen = new Map()
    const done: Array<string> = []
    for (const step of sequence) {
      if (step._tag === "Wait") {
        // A sweep is every five seconds, so that nothing is left to expire while a request is looked at.
        yield* TestClock.adjust(Math.ceil(step.ms / 5_000) * 5_000)
        done.push(`wait ${step.ms} ms`)
        continue
      }
      const request = WireFuzz.fill(withKeys(step, keys), seen)
      changes()
      const answer = yield* send(request)
      counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1)
      WireFuzz.see(seen, answer.body, learned)
      done.push(show({ answer, request }))
      const wrong = wrongWith({ answer, request }, changes())
      if (wrong.length > 0) return `${done.join("\n")}\n${wrong.map((problem) => `  - ${problem}`).join("\n")}`
    }
    const wrong = yield* verify
    return wrong.length === 0 ? undefined : `${done.join("\n")}\n${wrong.join("\n")}`
  }).pipe(Effect.scoped, Effect.provide(TestClock.layer()))

describe("The server", () => {
  it.live(
    "answers whatever is sent as the specification says, and changes nothing where it refuses",
    () =>
      Effect.gen(function*() {
        const requests = yield* Config.withDefault(Config.Int("CYCLES_REQUESTS"), 600)
        const seed = yield* Config.withDefault(Config.String("CYCLES_SEED"), String(Date.now()))
        yield* Console.log(`CYCLES_SEED=${seed}`)
        const startedAt = Date.now()
        const result = yield* Arbitrary.checkEffect(
          steps,
          (sequence) => Effect.map(run(sequence), (wrong) => wrong === undefined),
          { runs: Math.ceil(requests / (SIZE / 4) * 1.1), size: SIZE, seed, maxShrinks: 500 }
        )
        const all = [...counts.values()].reduce((sum, count) => sum + count, 0)
        const statuses = [...counts].sort(([a], [b]) => a - b).map(([status, count]) => `${count} × ${status}`)
        yield* Console.log(
          `${all} requests in ${((Date.now() - startedAt) / 1_000).toFixed(1)} s: ${statuses.join(", ")}`
        )
        if (result._tag === "Falsified") {
          assert.fail(`CYCLES_SEED=${seed} sends this again:\n${yield* run(result.shrunkInput)}`)
        }
        assert.strictEqual(result._tag, "Passed", Arbitrary.formatCheckFailure(result))
      }),
    3_600_000
  )
})
