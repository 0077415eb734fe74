// Requests at random against a server in this process. CYCLES_REQUESTS says how many (about); CYCLES_SEED, as a failure prints it,
// runs the same sequences again.
import { WireJson } from "@effect-cycles/http"
import type { WireSpecification } from "@effect-cycles/testing"
import { WireFuzz } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import type { Answer, World } from "./world.ts"
import { adminKey as theAdminKey, contract, judge, make } from "./world.ts"

/** How many steps the longest sequences have. They grow to it, so that a quarter of it is what they have on average. */
const SIZE = 80

const learned: ReadonlySet<string> = new Set([
  "reservation_id",
  "next_cursor",
  "key_id",
  "policy_id",
  "event_id",
  "kind"
])

/** How often an operation is called, where not once in a while. */
const weights: { readonly [operationId: string]: number } = {
  createReservation: 8,
  commitReservation: 4,
  releaseReservation: 2,
  extendReservation: 3,
  createEvent: 3,
  listReservations: 2,
  createApiKey: 2,
  createPolicy: 2,
  updatePolicy: 2,
  getEvent: 2,
  createBudget: 4,
  updateBudget: 2,
  fundBudget: 4,
  freezeBudget: 2,
  unfreezeBudget: 6
}

const own = contract.operations.filter(({ operationId, plane }) => plane === "runtime" || operationId !== "getBalances")

const tenantKey = { "x-cycles-api-key": "full" }
const adminKey = { "x-admin-api-key": "admin" }

/** What is governed is of more interest where something runs under it. */
const operationsOf = (plane: WireSpecification.Plane) =>
  own.filter((operation) => plane === "governance" || operation.plane === "runtime")

const makeSteps = (plane: WireSpecification.Plane) =>
  Arbitrary.map(
    WireFuzz.makeArbitrary({
      operations: operationsOf(plane).flatMap((operation) =>
        Array.from({ length: weights[operation.operationId] ?? 1 }, () => operation)
      ),
      headers: ({ operationId, plane }) =>
        plane === "runtime" || operationId === "listTenantEvents" ? tenantKey : adminKey,
      strangers: [
        {},
        { "x-cycles-api-key": "" },
        { "x-cycles-api-key": "nobody's" },
        { "x-cycles-api-key": "reader" },
        { "x-admin-api-key": "nobody's" },
        { ...tenantKey, "x-admin-api-key": "" },
        tenantKey,
        tenantKey,
        adminKey
      ],
      given: new Set(["tenant_id"]),
      values: {
        reservation_id: ["⟨reservation_id⟩"],
        cursor: ["⟨next_cursor⟩"],
        key_id: ["⟨key_id⟩"],
        policy_id: ["⟨policy_id⟩"],
        event_id: ["⟨event_id⟩"],
        kind: ["llm.completion", "⟨kind⟩"],
        limit: [1, 2, 50],
        idempotency_key: Array.from({ length: 30 }, (_, i) => `k-${i}`),
        tenant: ["acme", "acme", "acme", "beta"],
        tenant_id: ["acme", "acme", "acme", "acme", "beta", "gamma", "delta-9"],
        agent: ["bot", "bot", "writer"],
        ...Object.fromEntries(["workspace", "app", "workflow", "toolset"].map((level) => [level, ["eng", "a.b-c_9"]])),
        scope: [
          "tenant:acme",
          "tenant:acme",
          "tenant:acme/agent:bot",
          "tenant:acme/agent:bot",
          "tenant:acme/workspace:eng",
          "tenant:acme/app:eng",
          "tenant:acme/workflow:eng",
          "tenant:acme/workspace:eng/agent:bot",
          "tenant:beta",
          "tenant:beta/agent:bot",
          "tenant:gamma"
        ],
        scope_pattern: ["*", "tenant:acme/*", "agent:*", "tenant:acme/agent:bot"],
        scope_filter: [["agent:bot"], ["workspace:eng", "agent:*"], []],
        unit: [...Array.from({ length: 12 }, () => "TOKENS"), "USD_MICROCENTS", "CREDITS"],
        ttl_ms: [1_000, 60_000, 86_400_000],
        grace_period_ms: [0, 5_000],
        evidence_id: ["ab".repeat(32)],
        reservation_expiry_policy: ["AUTO_RELEASE"],
        // A tenant that is closed, and a key that is revoked, leave little to see.
        status: ["ACTIVE", "ACTIVE", "ACTIVE", "COMMITTED", "FROZEN"]
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
  const served = contract.request({ method, path, headers }).operation
  const isServed = served !== undefined
  wrong.push(
    ...judge.response({
      ...answer,
      ...isServed ? { method, path } : { method: "GET", path: "/nowhere" }
    }).problems
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
  const { "x-admin-api-key": admin, "x-cycles-api-key": name, ...headers } = request.headers
  const secrets = {
    ...admin === undefined ? undefined : { "x-admin-api-key": admin === "admin" ? theAdminKey : admin },
    ...name === undefined ? undefined : { "x-cycles-api-key": name === "full" || name === "reader" ? keys[name] : name }
  }
  return { ...request, headers: { ...headers, ...secrets } }
}

const counts = new Map<number, number>()

/** How often each operation was answered with a success. */
const successes = new Map<string, number>()

/** Runs a sequence on a server of its own; what was wrong, with all that was sent until then. */
const run = (sequence: ReadonlyArray<WireFuzz.Step>): Effect.Effect<string | undefined> =>
  Effect.gen(function*() {
    const { changes, ids, keys, send, verify } = yield* make
    const seen: WireFuzz.Seen = new Map(Object.entries(ids).map(([name, id]) => [name, [id]]))
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
      if (answer.status < 300 && request.twists.length === 0) {
        successes.set(request.operationId, (successes.get(request.operationId) ?? 0) + 1)
      }
      WireFuzz.see(seen, answer.body, learned)
      done.push(show({ answer, request }))
      const wrong = wrongWith({ answer, request }, changes())
      if (wrong.length > 0) return `${done.join("\n")}\n${wrong.map((problem) => `  - ${problem}`).join("\n")}`
    }
    const wrong = yield* verify
    return wrong.length === 0 ? undefined : `${done.join("\n")}\n${wrong.join("\n")}`
  }).pipe(Effect.scoped, Effect.provide(TestClock.layer()))

describe("The server", () => {
  for (const plane of ["runtime", "governance"] as const) {
    it.live(
      `answers as the specification says, and changes nothing where it refuses: ${plane} plane`,
      () =>
        Effect.gen(function*() {
          const requests = yield* Config.withDefault(Config.Int("CYCLES_REQUESTS"), 250)
          const seed = yield* Config.withDefault(Config.String("CYCLES_SEED"), String(Date.now()))
          yield* Console.log(`${plane} plane: CYCLES_SEED=${seed}`)
          counts.clear()
          successes.clear()
          const startedAt = Date.now()
          const result = yield* Arbitrary.checkEffect(
            makeSteps(plane),
            (sequence) => Effect.map(run(sequence), (wrong) => wrong === undefined),
            { runs: Math.ceil(requests / (SIZE / 4) * 1.1), size: SIZE, seed, maxShrinks: 500 }
          )
          const all = [...counts.values()].reduce((sum, count) => sum + count, 0)
          const statuses = [...counts].sort(([a], [b]) => a - b).map(([status, count]) => `${count} × ${status}`)
          const seconds = ((Date.now() - startedAt) / 1_000).toFixed(1)
          yield* Console.log(`${plane} plane: ${all} requests in ${seconds} s: ${statuses.join(", ")}`)
          if (result._tag === "Falsified") {
            assert.fail(`CYCLES_SEED=${seed} sends this again:\n${yield* run(result.shrunkInput)}`)
          }
          assert.strictEqual(result._tag, "Passed", Arbitrary.formatCheckFailure(result))
          // So many requests come to everything there is, but for evidence, of which there is none. What is least often there is
          // to be there a dozen times: less, and it will be missing by chance.
          const rarest = operationsOf(plane)
            .filter(({ operationId }) => !operationId.startsWith("getEvidence"))
            .map(({ operationId }) => [operationId, successes.get(operationId) ?? 0] as const)
            .sort(([, a], [, b]) => a - b)
          yield* Console.log(
            `${plane} plane: successes, fewest first: ${rarest.slice(0, 5).map((one) => one.join(" ")).join(", ")}`
          )
          if (all >= 10_000) assert.deepStrictEqual(rarest.filter(([, count]) => count === 0), [])
        }),
      3_600_000
    )
  }
})
