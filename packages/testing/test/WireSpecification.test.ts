import { WireSpecification } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Process from "node:process"

const directory = Process.env["CYCLES_SPEC_DIR"] ?? ""

const id = "5f0c1f0e-3a5f-4a0e-9a53-0d1e0a2b3c4d"
const trace = "4bf92f3577b34da6a3ce929d0e0e4736"

const headers = {
  "Content-Type": "application/json",
  "X-Request-Id": id,
  "X-Cycles-Trace-Id": trace,
  "X-Cycles-Tenant": "acme"
}

const reserved: WireSpecification.Exchange = {
  method: "POST",
  path: "/v1/reservations",
  status: 200,
  headers,
  body: `{"decision":"ALLOW","reservation_id":"r","affected_scopes":["tenant:acme"],` +
    `"reserved":{"unit":"TOKENS","amount":9223372036854775807}}`
}

const refused: WireSpecification.Exchange = {
  ...reserved,
  status: 409,
  body: `{"error":"BUDGET_EXCEEDED","message":"no","request_id":"${id}","trace_id":"${trace}"}`
}

const body = {
  idempotency_key: "k",
  subject: { agent: "bot" },
  action: { kind: "llm.completion", name: "gpt-4o" },
  estimate: { unit: "TOKENS", amount: 10 }
}

const sent = (change?: object): WireSpecification.Request => ({
  method: "POST",
  path: "/v1/reservations",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ ...body, ...change })
})

const meta = { reason: "CYCLES_SPEC_DIR is not set" }

describe.skipIf(directory === "")("The specification", { meta }, () => {
  const nothing: WireSpecification.WireSpecification = {
    operations: [],
    documents: { runtime: {}, governance: {} },
    request: () => assert.fail(),
    response: () => assert.fail()
  }
  const specification = directory === ""
    ? nothing
    : WireSpecification.make((file) => Fs.readFileSync(Path.join(directory, file), "utf8"))
  const answered = (change: Partial<WireSpecification.Exchange>) =>
    specification.response({ ...reserved, ...change }).problems
  const changed = (from: string, to: string) => answered({ body: reserved.body.replace(from, to) })

  it("has both planes", () => {
    const count = (plane: WireSpecification.Plane) =>
      specification.operations.filter((operation) => operation.plane === plane).length
    assert.strictEqual(count("runtime"), 11)
    assert.isAbove(count("governance"), 40)
    const shared = { method: "GET", path: "/v1/balances", headers: {} }
    assert.strictEqual(specification.request(shared).operation?.plane, "runtime")
    assert.strictEqual(specification.request({ ...shared, plane: "governance" }).operation?.plane, "governance")
    const lookup = { method: "GET", path: "/v1/admin/budgets/lookup?scope=x&unit=TOKENS", headers: {} }
    assert.strictEqual(specification.request(lookup).operation?.operationId, "lookupBudget")
  })

  it("knows a good answer", () => {
    assert.deepStrictEqual(answered({}), [])
    assert.deepStrictEqual(specification.response(refused).problems, [])
  })

  it("knows no field that is not documented, no null, no other type, value or range", () => {
    for (
      const [from, to, problem] of [
        [`"r"`, `"r","colour":"red"`, "body.colour is not documented"],
        [`"r"`, `"r","caps":{"max_token":1}`, "body.caps.max_token is not documented"],
        [`"r"`, "null", "body.reservation_id must be string"],
        [`"r"`, `"r","caps":null`, "body.caps must be object"],
        [`"ALLOW"`, `"MAYBE"`, "body.decision must be equal to one of the allowed values"],
        ["9223372036854775807", "9223372036854775808", "body.reserved.amount must be an integer from 0"],
        ["9223372036854775807", "-1", "body.reserved.amount must be an integer from 0"],
        ["9223372036854775807", "1.0", "body.reserved.amount must be an integer from 0"],
        ["9223372036854775807", "1e3", "body.reserved.amount must be an integer from 0"],
        ["9223372036854775807", `"5"`, "body.reserved.amount must be an integer from 0"],
        [`"decision":"ALLOW",`, "", "body must have required property 'decision'"],
        [`}}`, `}`, "the body is not JSON"]
      ] as const
    ) {
      const problems = changed(from, to)
      assert.strictEqual(problems.length, 1, problems.join("\n"))
      assert.include(problems[0] ?? "", problem)
    }
  })

  it("asks for the headers and the status that are documented", () => {
    const without = (name: keyof typeof headers) => answered({ headers: { ...headers, [name]: undefined } })
    for (const name of ["X-Request-Id", "X-Cycles-Trace-Id", "X-Cycles-Tenant"] as const) {
      assert.deepStrictEqual(without(name), [`header ${name} is missing`])
    }
    assert.deepStrictEqual(without("Content-Type"), ["header Content-Type is missing, not application/json"])
    assert.deepStrictEqual(answered({ headers: { ...headers, "X-Cycles-Trace-Id": "x" } }).length, 2)
    assert.deepStrictEqual(answered({ status: 201 })[0], "status 201 is not documented for createReservation")
    const throttled = {
      ...refused,
      status: 429,
      body: refused.body.replace("BUDGET_EXCEEDED", "LIMIT_EXCEEDED")
    }
    assert.deepStrictEqual(answered(throttled), ["header Retry-After is not there in whole seconds"])
    assert.deepStrictEqual(answered({ ...throttled, headers: { ...headers, "Retry-After": "7" } }), [])
  })

  it("asks that an error names its own request, and for an error where there is no operation", () => {
    const foreign = answered({ ...refused, body: refused.body.replace(id, "other") })
    assert.deepStrictEqual(foreign, [`body.request_id is other, the header x-request-id is ${id}`])
    const nowhere = { ...refused, path: "/v1/nothing", status: 404 }
    assert.deepStrictEqual(answered({ ...nowhere, body: refused.body.replace("BUDGET_EXCEEDED", "NOT_FOUND") }), [])
    const events = { ...nowhere, path: "/v1/admin/events/" }
    assert.deepStrictEqual(
      answered({ ...events, body: refused.body.replace("BUDGET_EXCEEDED", "EVENT_NOT_FOUND") }),
      []
    )
    assert.include(answered({ ...nowhere, body: "{}" })[0] ?? "", "must have required property 'error'")
    assert.deepStrictEqual(answered({ ...nowhere, status: 200 }), ["the specification has no such operation"])
  })

  it("knows the codes and the lists that version 0.1.26 adds", () => {
    assert.deepStrictEqual(
      answered({ ...refused, body: refused.body.replace("BUDGET_EXCEEDED", "ACTION_KIND_DENIED") }),
      []
    )
    const policy = `{"policy_id":"p","scope_pattern":"*","status":"ACTIVE","created_at":"2026-01-01T00:00:00Z",` +
      `"denied_action_kinds":["tool.shell"]}`
    const created = { method: "POST", path: "/v1/admin/policies", status: 201, headers, body: policy }
    assert.deepStrictEqual(specification.response(created).problems, [])
    const badDate = policy.replace("2026-01-01", "2026-02-30")
    assert.deepStrictEqual(specification.response({ ...created, body: badDate }).problems, [
      `body.created_at must match format "date-time"`
    ])
  })

  it("knows a request from a bad one", () => {
    assert.deepStrictEqual(specification.request(sent()).problems, [])
    for (
      const [change, problem] of [
        [{ colour: 1 }, "body.colour is not documented"],
        [{ ttl_ms: 999 }, "body.ttl_ms must be an integer from 1000 to 86400000"],
        [{ subject: { dimensions: {} } }, "body.subject must have required property"],
        [{ idempotency_key: "" }, "body.idempotency_key must NOT have fewer than 1 characters"],
        [{ metadata: null }, "body.metadata must be object"]
      ] as const
    ) {
      assert.include(specification.request(sent(change)).problems.join("\n"), problem)
    }
    const list = (query: string) =>
      specification.request({ method: "GET", path: `/v1/reservations?${query}`, headers: {} }).problems
    assert.deepStrictEqual(list("limit=200&from=2026-01-01T00%3A00%3A00Z&include=metadata,evidence"), [])
    assert.deepStrictEqual(list("limit=0"), ["query limit must be an integer from 1 to 200, written as one"])
    assert.deepStrictEqual(list("limit=1&limit=2"), ["query limit is given 2 times"])
    assert.deepStrictEqual(list("from=2026-01-01").length, 1)
    assert.deepStrictEqual(specification.request({ ...sent(), path: "/v1/reservation" }).problems, [
      "the specification has no such operation"
    ])
  })
})
