import { Errors, WireJson } from "@effect-cycles/http"
import { assert, describe, it } from "@effect/vitest"
import { MAX_INT64, MIN_INT64 } from "effect-cycles/protocol/Amount"
import type { CyclesError } from "effect-cycles/protocol/CyclesError"
import * as E from "effect-cycles/protocol/CyclesError"
import { ErrorResponse } from "effect-cycles/protocol/ErrorResponse"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { errorSamples, everyField, operations } from "./samples.ts"

const requestId = "0b7e4a5e-6f0c-4c53-8f6a-5a1f0d8f2a11"
const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
const ids = { requestId, traceId }

/** Over the wire and back: as text, as it travels. */
const travel = <O extends Errors.Operation>(
  operation: O,
  error: CyclesError,
  correlation: Errors.Correlation = ids
) => {
  const answer = Errors.toResponse(error, correlation)
  const body = Result.getOrThrow(WireJson.parse(WireJson.stringify(answer.body)))
  return { answer, body, error: Errors.fromResponse(operation, { ...answer, body }) }
}

const plain = (error: CyclesError): object => ({ ...error })

describe("Every error", () => {
  for (const operation of operations) {
    for (const [tag, make] of Object.entries(errorSamples[operation])) {
      it(`comes back as it was: ${operation} ${tag}`, () => {
        for (const context of [{}, { ...everyField, retryAfterMs: 1_500 }]) {
          const error: CyclesError = make({ ...context, ...ids })
          const { answer, body, error: read } = travel(operation, error)
          assert.strictEqual(read._tag, error._tag)
          assert.deepStrictEqual(plain(read), plain(error))
          assert.strictEqual(answer.body.request_id, requestId)
          assert.strictEqual(answer.body.trace_id, traceId)
          // The extension's codes and those of later versions are not in the base specification's list.
          if (tag === "ActionDenied" || tag === "UnknownDenial") continue
          const valid = Schema.decodeUnknownResult(ErrorResponse, { onExcessProperty: "error" })(body)
          assert.isTrue(Result.isSuccess(valid), WireJson.stringify(body))
        }
      })
    }
  }

  it("has the status of its code", () => {
    const statuses = new Map<string, number>()
    for (const operation of operations) {
      for (const make of Object.values(errorSamples[operation])) {
        const answer = Errors.toResponse(make({}), {})
        statuses.set(make({})._tag, answer.status)
      }
    }
    assert.deepStrictEqual(Object.fromEntries([...statuses].sort()), {
      ActionDenied: 409,
      AuthorityUnavailable: 503,
      BudgetClosed: 409,
      BudgetExceeded: 409,
      BudgetFrozen: 409,
      BudgetNotFound: 404,
      DebtOutstanding: 409,
      Forbidden: 403,
      IdempotencyMismatch: 409,
      InternalError: 500,
      InvalidRequest: 400,
      MaxExtensionsExceeded: 409,
      NotFound: 404,
      OverdraftLimitExceeded: 409,
      RateLimited: 429,
      ReservationExpired: 410,
      ReservationFinalized: 409,
      TenantClosed: 409,
      Unauthorized: 401,
      UnitMismatch: 400,
      UnknownDenial: 409
    })
  })

  it("says what it knows in the details, and nothing of what it does not", () => {
    const denied = new E.BudgetExceeded({ ...everyField, reason: "too much" })
    assert.deepStrictEqual(Errors.toResponse(denied, ids).body, {
      error: "BUDGET_EXCEEDED",
      message: "too much",
      request_id: requestId,
      trace_id: traceId,
      details: {
        scope: "tenant:acme/agent:bot",
        unit: "TOKENS",
        requested: MAX_INT64,
        remaining: MIN_INT64,
        policy: "night shift"
      }
    })
    assert.deepStrictEqual(Errors.toResponse(new E.BudgetExceeded({}), { requestId }).body, {
      error: "BUDGET_EXCEEDED",
      message: "Budget exceeded",
      request_id: requestId
    })
    assert.deepInclude(
      Errors.toResponse(
        new E.UnitMismatch({ scope: "tenant:acme", unit: "CREDITS", expectedUnits: ["TOKENS", "USD_MICROCENTS"] }),
        ids
      ).body,
      {
        details: { scope: "tenant:acme", requested_unit: "CREDITS", expected_units: ["TOKENS", "USD_MICROCENTS"] }
      }
    )
    assert.deepInclude(Errors.toResponse(new E.InvalidRequest({ field: "subject.agent", reason: "r" }), ids).body, {
      error: "INVALID_REQUEST",
      message: "subject.agent: r",
      details: { field: "subject.agent" }
    })
    assert.deepInclude(Errors.toResponse(new E.BudgetNotFound({ scope: "tenant:acme/agent:bot" }), ids).body, {
      error: "NOT_FOUND",
      message: "Budget not found for provided scope: tenant:acme/agent:bot"
    })
  })

  it("calls a field by its name on the wire, and in the core by its name there", () => {
    for (
      const [core, wire] of [
        ["ttlMs", "ttl_ms"],
        ["metrics.tokensInput", "metrics.tokens_input"],
        ["createdFromMs", "from"],
        ["subject.agent", "subject.agent"],
        ["metadata.ttlMs", "metadata.ttlMs"],
        ["metrics.custom.sortBy", "metrics.custom.sortBy"]
      ] as const
    ) {
      assert.strictEqual(Errors.toWireField(core), wire)
      assert.strictEqual(Errors.fromWireField(wire), core)
      const { answer, error } = travel("reserve", new E.InvalidRequest({ field: core }))
      assert.deepStrictEqual(answer.body.details, { field: wire })
      assert.deepInclude(plain(error), { field: core })
    }
  })

  it("carries the evidence of a denial where the protocol has it", () => {
    const evidence = { evidence_id: "ab".repeat(32), cycles_evidence_url: "https://cycles.test/v1/evidence/x" }
    const denied = new E.BudgetExceeded({ details: { cycles_evidence: evidence, note: 1 } })
    const { answer, error } = travel("reserve", denied)
    assert.deepStrictEqual(answer.body.cycles_evidence, evidence)
    assert.deepStrictEqual(answer.body.details, { note: 1 })
    assert.deepStrictEqual(error.details, { cycles_evidence: evidence, note: 1 })
  })

  it("tells a throttled caller when to come again", () => {
    const answer = Errors.toResponse(new E.RateLimited({ retryAfterMs: 1_500 }), { ...ids, nowMs: 10_000 })
    assert.deepStrictEqual(answer.headers, { "retry-after": "2", "x-ratelimit-reset": "12" })
    // A 429 has a time even where nobody gave one.
    assert.deepStrictEqual(Errors.toResponse(new E.RateLimited({}), { nowMs: 5 }).headers, {
      "retry-after": "1",
      "x-ratelimit-reset": "2"
    })
    assert.deepStrictEqual(Errors.toResponse(new E.BudgetExceeded({ retryAfterMs: 9 }), { nowMs: 5 }).headers, {})
  })
})

describe("Answers of other servers", () => {
  const read = <O extends Errors.Operation>(
    operation: O,
    status: number,
    body: unknown,
    headers: Errors.Answer["headers"] = {}
  ) => Errors.fromResponse(operation, { status, body, headers })

  const error = (code: string, more?: object) => ({ error: code, message: "m", request_id: "r", ...more })

  it("are read by their code", () => {
    assert.strictEqual(read("reserve", 404, error("NOT_FOUND"))._tag, "BudgetNotFound")
    assert.strictEqual(read("event", 404, error("NOT_FOUND"))._tag, "BudgetNotFound")
    for (const operation of ["commit", "release", "extend", "reservation"] as const) {
      assert.strictEqual(read(operation, 404, error("NOT_FOUND"))._tag, "NotFound")
    }
    for (const code of ["ACTION_QUOTA_EXCEEDED", "ACTION_KIND_DENIED", "ACTION_KIND_NOT_ALLOWED"]) {
      assert.deepInclude(plain(read("reserve", 409, error(code))), { _tag: "ActionDenied", code })
    }
  })

  it("of a code nobody knows, or expects, are denials all the same", () => {
    assert.deepInclude(plain(read("reserve", 409, error("SOLAR_FLARE"))), {
      _tag: "UnknownDenial",
      code: "SOLAR_FLARE",
      reason: "m"
    })
    for (const operation of ["commit", "release", "extend"] as const) {
      assert.deepInclude(plain(read(operation, 409, error("BUDGET_FROZEN"))), {
        _tag: "UnknownDenial",
        code: "BUDGET_FROZEN"
      })
    }
    assert.deepInclude(plain(read("decide", 409, error("TENANT_CLOSED"))), {
      _tag: "UnknownDenial",
      code: "TENANT_CLOSED"
    })
    assert.strictEqual(read("balances", 409, error("BUDGET_FROZEN"))._tag, "InvalidRequest")
    assert.strictEqual(read("reserve", 400, error("ODD_REQUEST"))._tag, "InvalidRequest")
    assert.strictEqual(read("commit", 410, error("LONG_GONE"))._tag, "ReservationExpired")
    assert.strictEqual(read("decide", 410, error("LONG_GONE"))._tag, "UnknownDenial")
  })

  it("of a status that means the same everywhere need no body", () => {
    for (const body of [undefined, null, "<html>", [], { message: 5 }]) {
      assert.strictEqual(read("reserve", 401, body)._tag, "Unauthorized")
      assert.strictEqual(read("reserve", 403, body)._tag, "Forbidden")
      assert.strictEqual(read("reserve", 429, body)._tag, "RateLimited")
      assert.strictEqual(read("reserve", 500, body)._tag, "InternalError")
      for (const status of [0, 302, 400, 404, 405, 409, 410, 413, 502, 503, 504]) {
        assert.strictEqual(read("reserve", status, body)._tag, "AuthorityUnavailable", String(status))
      }
    }
    assert.include(read("balances", 404, undefined).message, "check the base URL")
  })

  it("are transient or not by who is at fault", () => {
    assert.isTrue(read("commit", 503, error("INTERNAL_ERROR")).isTransient)
    assert.isTrue(read("commit", 500, error("BUDGET_EXCEEDED")).isTransient)
    assert.isFalse(read("commit", 409, error("BUDGET_EXCEEDED")).isTransient)
  })

  it("say when to come again in whole seconds, or not at all", () => {
    const after = (value: string, status = 429, body: unknown = error("LIMIT_EXCEEDED")) =>
      read("reserve", status, body, { "retry-after": value }).retryAfterMs
    assert.strictEqual(after("7"), 7_000)
    assert.strictEqual(after(" 0 "), 0)
    assert.strictEqual(after("7", 503), 7_000)
    assert.isUndefined(after("7", 409, error("BUDGET_EXCEEDED")))
    for (const bad of ["Wed, 21 Oct 2026 07:28:00 GMT", "1.5", "-1", "1e3", "", "99999999999", "7, 8", "0x10"]) {
      assert.isUndefined(after(bad), bad)
    }
    assert.strictEqual(after("7", 429, error("LIMIT_EXCEEDED", { details: { retry_after_ms: 6_500 } })), 6_500)
  })

  it("keep what is not known, and what is not usable, as it was sent", () => {
    const details = {
      scope: 5,
      unit: "DOLLARS",
      requested: "1000",
      remaining: 10n ** 30n,
      retry_after_ms: -1,
      expected_units: ["DOLLARS"],
      field: null,
      deny_detail: { window: "hour" }
    }
    const denied = read("reserve", 409, error("BUDGET_EXCEEDED", { details, colour: "red" }))
    const { field: _, ...kept } = details
    assert.deepStrictEqual(plain(denied), { _tag: "BudgetExceeded", reason: "m", requestId: "r", details: kept })
    const mismatch = read(
      "commit",
      400,
      error("UNIT_MISMATCH", {
        details: { scope: "tenant:acme", requested_unit: "CREDITS", expected_units: ["TOKENS", "DOLLARS"] }
      })
    )
    assert.deepInclude(plain(mismatch), { scope: "tenant:acme", unit: "CREDITS", expectedUnits: ["TOKENS"] })
  })

  it("are named by their body, else by their headers", () => {
    const headers = { "x-request-id": "r-2", "x-cycles-trace-id": traceId }
    assert.deepInclude(plain(read("reserve", 500, undefined, headers)), { requestId: "r-2", traceId })
    const other = "a".repeat(32)
    assert.deepInclude(plain(read("reserve", 500, error("INTERNAL_ERROR", { trace_id: other }), headers)), {
      requestId: "r",
      traceId: other
    })
    assert.isUndefined(read("reserve", 500, error("INTERNAL_ERROR", { trace_id: "short" })).traceId)
  })
})
