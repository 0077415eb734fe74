/**
 * The test vectors of the specification (`test-vectors.yaml`), those that are about what there is in this version, sent to a
 * server. Where a vector and the specification of this version differ, the vector is normalised; every way in which one is has a
 * name and a reason here, and one that is not needed any more fails.
 */
import { assert, describe, it } from "@effect/vitest"
import { Governance } from "effect-cycles"
import * as Amount from "effect-cycles/protocol/Amount"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "yaml"
import { send } from "./support/requests.ts"
import * as Servers from "./support/servers.ts"
import { between, exactly, hex32, startingWith, text } from "./support/shape.ts"

interface Json {
  readonly [name: string]: any
}

interface Vector {
  readonly id: string
  readonly policy_context?: {
    readonly policy_id: string
    readonly allowed_action_kinds?: ReadonlyArray<string>
    readonly denied_action_kinds?: ReadonlyArray<string>
  }
  readonly request: {
    readonly method: string
    readonly path: string
    readonly headers: { readonly [name: string]: string }
    readonly body: Json
  }
  readonly response: { readonly status: number; readonly body: Json }
}

const file = join(process.env["CYCLES_SPEC_DIR"] ?? "", "test-vectors.yaml")
const isThere = (process.env["CYCLES_SPEC_DIR"] ?? "") !== "" && existsSync(file)
const vectors: ReadonlyArray<Vector> = isThere ? parse(readFileSync(file, "utf8")).test_vectors : []

/** What is not in this version, and the vectors about it. */
const missing = {
  "quotas of actions and of risk classes": [
    "deny_risk_class_quota",
    "deny_per_kind_quota",
    "threshold_crossing",
    "deny_burst_per_minute",
    "deny_agent_spawn_quota"
  ],
  "the observe mode of tenants and of requests": [
    "observe_mode_deny",
    "observe_mode_allow",
    "per_request_observe_override"
  ]
}

/** What a vector stands for here: its request, its reply, what its budgets have left, and what they shall have afterwards. */
interface Case {
  readonly headers: { readonly [name: string]: string }
  readonly request: Json
  readonly response: Json
  readonly remaining: ReadonlyMap<string, number>
  readonly left: ReadonlyMap<string, number>
}

interface Normalisation {
  readonly reason: string
  /** The case as it is to be read; the same one where there is nothing to change. */
  readonly apply: (found: Case, vector: Vector) => Case
}

const without = (record: Json, ...names: ReadonlyArray<string>): Json =>
  Object.fromEntries(Object.entries(record).filter(([name]) => !names.includes(name)))

const keyless = "X-Cycles-API-Key"

/** In the order they are applied in. */
const normalisations: { readonly [name: string]: Normalisation } = {
  "the key is another": {
    reason: "a server makes the secrets of its keys itself",
    apply: (found) => keyless in found.headers ? { ...found, headers: without(found.headers, keyless) } : found
  },
  "policy_keys are dropped": {
    reason: "they belong to quotas; the schema Action of this version has none, and refuses what it does not know",
    apply: (found) =>
      "policy_keys" in found.request["action"]
        ? { ...found, request: { ...found.request, action: without(found.request["action"], "policy_keys") } }
        : found
  },
  "scopes are named, and what remains on them is a balance": {
    reason: "affected_scopes is an array of strings in the schema ReservationCreateResponse",
    apply: (found) => {
      const scopes: ReadonlyArray<Json | string> = found.response["affected_scopes"] ?? []
      if (scopes.every((scope) => typeof scope === "string")) return found
      const objects = scopes.filter((scope) => typeof scope !== "string")
      const held: number = found.response["reserved"]?.amount ?? 0
      const remaining = objects.flatMap(({ remaining, scope }): ReadonlyArray<readonly [string, number]> =>
        remaining === undefined ? [] : [[scope, remaining.amount]]
      )
      return {
        ...found,
        response: { ...found.response, affected_scopes: objects.map(({ scope }) => scope) },
        remaining: new Map([...found.remaining, ...remaining.map(([scope, left]) => [scope, left + held] as const)]),
        left: new Map([...found.left, ...remaining])
      }
    }
  },
  "affected_scopes are the whole path": {
    reason: "the schema ReservationCreateResponse: the scopes affected, ordered from the tenant to the deepest one",
    apply: (found) => {
      const scopes: ReadonlyArray<string> | undefined = found.response["affected_scopes"]
      const deepest = scopes?.at(-1)
      if (scopes?.length !== 1 || deepest === undefined) return found
      const levels = deepest.split("/")
      const path = levels.map((_, i) => levels.slice(0, i + 1).join("/"))
      return { ...found, response: { ...found.response, affected_scopes: path } }
    }
  },
  "scope_path is canonical": {
    reason: "section SCOPE DERIVATION joins the levels with a slash",
    apply: (found) => {
      const path: string | undefined = found.response["scope_path"]
      if (path === undefined || !path.includes(" > ")) return found
      return { ...found, response: { ...found.response, scope_path: path.split(" > ").join("/") } }
    }
  },
  "scope_path is always there": {
    reason: "a reply of this version has it with every decision, and the schema lets it",
    apply: (found) =>
      "affected_scopes" in found.response && !("scope_path" in found.response)
        ? { ...found, response: { ...found.response, scope_path: found.response["affected_scopes"].at(-1) } }
        : found
  },
  "ids and times are the server's": {
    reason: "they are made when it is asked",
    apply: (found) => {
      const { error, expires_at_ms, reservation_id } = found.response
      if (reservation_id === undefined && error === undefined) return found
      const now = Date.now()
      const ttl: number = found.request["ttl_ms"]
      return {
        ...found,
        response: {
          ...found.response,
          ...(reservation_id === undefined ? undefined : { reservation_id: text }),
          ...(expires_at_ms === undefined ? undefined : { expires_at_ms: between(now + ttl, now + ttl + 60_000) }),
          ...(error === undefined ? undefined : { request_id: text })
        }
      }
    }
  },
  "a live hold says what is left of its lease": {
    reason: "the schema ReservationCreateResponse: remaining_ttl_ms with every live hold",
    apply: (found) =>
      "reservation_id" in found.response
        ? { ...found, response: { ...found.response, remaining_ttl_ms: found.request["ttl_ms"] } }
        : found
  },
  "an error says which trace it is of": {
    reason: "section CORRELATION AND TRACING: trace_id in every error",
    apply: (found) => "error" in found.response ? { ...found, response: { ...found.response, trace_id: hex32 } } : found
  },
  "messages are worded freely": {
    reason: "the schema ErrorResponse: a message is for people",
    apply: (found) => "message" in found.response ? { ...found, response: { ...found.response, message: text } } : found
  },
  "deny_detail of a decision is its reason_code": {
    reason: "the extension adds deny_detail; the schema ReservationCreateResponse of this version has reason_code",
    apply: (found) => {
      const detail: Json | undefined = found.response["deny_detail"]
      if (detail === undefined) return found
      const response = without(found.response, "deny_detail")
      return { ...found, response: { ...response, reason_code: detail["reason_code"] } }
    }
  },
  "deny_detail of an error is its details": {
    reason:
      "the extension's words for what the details of an error say: where, how much was asked for, how much there is",
    apply: (found, { request }) => {
      const detail: Json | undefined = found.response["details"]?.deny_detail
      if (detail === undefined) return found
      assert.strictEqual(detail["reason_code"], found.response["error"])
      const { amount, unit } = request.body["estimate"]
      const remaining: number = detail["budget_remaining"]
      assert.match(detail["suggested_fix"], new RegExp(`by at least ${amount - remaining} ${unit}`))
      const credit = Amount.format(Amount.microcents(amount - remaining))
      return {
        ...found,
        remaining: new Map([...found.remaining, [detail["blocked_by_scope"], remaining]]),
        left: new Map([...found.left, [detail["blocked_by_scope"], remaining]]),
        response: {
          ...found.response,
          details: {
            scope: detail["blocked_by_scope"],
            unit,
            requested: amount,
            remaining,
            suggestion: startingWith(`Credit ${detail["blocked_by_scope"]} by at least ${credit}`)
          }
        }
      }
    }
  }
}

const plain = ({ request, response }: Vector): Case => ({
  headers: request.headers,
  request: request.body,
  response: response.body,
  remaining: new Map(),
  left: new Map()
})

/** The case a vector stands for, and what had to be done to it. */
const read = (vector: Vector): { readonly found: Case; readonly applied: ReadonlyArray<string> } => {
  let found = plain(vector)
  const applied: Array<string> = []
  for (const [name, { apply }] of Object.entries(normalisations)) {
    const next = apply(found, vector)
    if (next !== found) applied.push(name)
    found = next
  }
  return { found, applied }
}

const reasonOf = (id: string): string | undefined => Object.entries(missing).find(([, ids]) => ids.includes(id))?.[0]

const applicable = vectors.filter(({ id }) => reasonOf(id) === undefined)

const titleOf = (vector: Vector): string =>
  reasonOf(vector.id) === undefined ? `${vector.id} (${read(vector).applied.join("; ")})` : vector.id

/** How much a budget has that no vector speaks of. */
const PLENTY = 1_000_000

const run = (vector: Vector) =>
  Effect.gen(function*() {
    const { found } = read(vector)
    const { agent, tenant } = found.request["subject"]
    const scopes = [`tenant:${tenant}`, `tenant:${tenant}/agent:${agent}`]
    const operator = (yield* Governance.Governance).asOperator({ actor: "test" })
    yield* operator.createTenant(tenant, { name: tenant })
    for (const scope of scopes) {
      const allocated = Amount.microcents(found.remaining.get(scope) ?? PLENTY)
      yield* operator.createBudget(tenant, { scope, allocated })
    }
    const policy = vector.policy_context
    if (policy !== undefined) {
      yield* operator.createPolicy(tenant, {
        name: policy.policy_id,
        scopePattern: scopes[1] ?? "",
        allowedActionKinds: policy.allowed_action_kinds,
        deniedActionKinds: policy.denied_action_kinds
      })
    }
    const { secret } = yield* operator.createApiKey(tenant, { name: "test" })
    const key = Redacted.value(secret)
    const { method, path } = vector.request

    const reply = yield* send(method, path, { key, headers: found.headers, body: found.request })
    assert.strictEqual(reply.status, vector.response.status, reply.text)
    exactly(reply.body, found.response)

    const { body } = yield* send("GET", `/v1/balances?tenant=${tenant}`, { key })
    const balances: ReadonlyArray<Json> = body["balances"]
    assert.deepStrictEqual(
      new Map(balances.map(({ remaining, scope }) => [scope, remaining.amount])),
      new Map(scopes.map((scope) => [scope, found.left.get(scope) ?? found.remaining.get(scope) ?? PLENTY]))
    )
  }).pipe(Effect.provide(Servers.layer()))

describe.skipIf(!isThere)(
  "The test vectors of the specification",
  { meta: { reason: "CYCLES_SPEC_DIR does not name a folder with test-vectors.yaml: no vector was run" } },
  () => {
    it(`are ${vectors.length}, of which ${applicable.length} apply`, () => {
      const known = Object.values(missing).flat()
      assert.deepStrictEqual(known.filter((id) => !vectors.some((vector) => vector.id === id)), [])
      assert.strictEqual(applicable.length + known.length, vectors.length)
      assert.isAtLeast(applicable.length, 4)
    })

    it("need every normalisation that there is", () => {
      const applied = new Set(applicable.flatMap((vector) => read(vector).applied))
      assert.deepStrictEqual(Object.keys(normalisations).filter((name) => !applied.has(name)), [])
    })

    for (const vector of vectors) {
      const what = reasonOf(vector.id)
      const meta = { reason: `this version does not have ${what}` }
      it.live.skipIf(what !== undefined)(titleOf(vector), () => run(vector), { meta })
    }
  }
)
