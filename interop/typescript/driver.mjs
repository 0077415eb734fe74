// `node driver.mjs ENTRY` runs the cases of ../cases.json with the TypeScript client whose entry point is ENTRY, through what
// that package exports, and prints one line of JSON for each. Where and as whom: CYCLES_BASE_URL, CYCLES_API_KEY, CYCLES_TENANT.
import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { pathToFileURL } from "node:url"

const {
  BudgetExceededError,
  CyclesClient,
  CyclesConfig,
  DebtOutstandingError,
  OverdraftLimitExceededError,
  balanceResponseFromWire,
  capsFromWire,
  commitRequestToWire,
  commitResponseFromWire,
  decisionRequestToWire,
  decisionResponseFromWire,
  errorResponseFromWire,
  eventCreateRequestToWire,
  eventCreateResponseFromWire,
  flushPendingCommits,
  getCyclesContext,
  isToolAllowed,
  releaseRequestToWire,
  releaseResponseFromWire,
  reservationCreateRequestToWire,
  reservationCreateResponseFromWire,
  reservationDetailFromWire,
  reservationExtendRequestToWire,
  reservationExtendResponseFromWire,
  reservationListResponseFromWire,
  reserveForStream,
  withCycles
} = await import(pathToFileURL(process.argv[2]).href)

const tenant = process.env.CYCLES_TENANT
const client = new CyclesClient(CyclesConfig.fromEnv())
// How early a lease is renewed depends on how long a request may take.
const withTimeouts = new CyclesClient(new CyclesConfig({ ...client.config, connectTimeout: 1_000, readTimeout: 2_000 }))

const tokens = (amount) => ({ unit: "TOKENS", amount })
const action = { kind: "llm.completion", name: "gpt-4o" }

/** A request to hold so much for the agent that is called like the case. */
const holding = (agent, amount, more = {}) => ({
  idempotencyKey: randomUUID(),
  subject: { tenant, agent },
  action,
  estimate: tokens(amount),
  ttlMs: 60_000,
  ...more
})

const answered = (response, status, decode) => {
  assert.equal(response.status, status, JSON.stringify(response.body))
  assert.ok(response.requestId)
  assert.equal(response.cyclesTenant, tenant)
  return decode(response.body)
}
const refused = (response, status, code) => {
  assert.equal(response.status, status, JSON.stringify(response.body))
  const error = errorResponseFromWire(response.body)
  assert.equal(error.error, code)
  assert.ok(error.message)
  assert.equal(error.requestId, response.requestId)
  return error
}

const reserve = async (request) =>
  answered(
    await client.createReservation(reservationCreateRequestToWire(request)),
    200,
    reservationCreateResponseFromWire
  )
const committing = (id, amount, more = {}) =>
  client.commitReservation(id, commitRequestToWire({ idempotencyKey: randomUUID(), actual: tokens(amount), ...more }))
const commit = async (id, amount, more) => answered(await committing(id, amount, more), 200, commitResponseFromWire)
const release = async (id) =>
  answered(
    await client.releaseReservation(id, releaseRequestToWire({ idempotencyKey: randomUUID(), reason: "over" })),
    200,
    releaseResponseFromWire
  )
const detail = async (id) => answered(await client.getReservation(id), 200, reservationDetailFromWire)

/** How a guarded function of a case is configured. */
const guarded = (agent, estimate, more = {}) => ({
  client,
  estimate,
  unit: "TOKENS",
  actionKind: action.kind,
  actionName: action.name,
  tenant,
  agent,
  ...more
})

const cases = {
  lifecycle: async () => {
    const held = await reserve(holding("lifecycle", 1_000))
    assert.equal(held.decision, "ALLOW")
    assert.deepEqual(held.reserved, tokens(1_000))
    assert.deepEqual(held.affectedScopes, [`tenant:${tenant}`, `tenant:${tenant}/agent:lifecycle`])
    const { charged, released, status } = await commit(held.reservationId, 700)
    assert.deepEqual([status, charged, released], ["COMMITTED", tokens(700), tokens(300)])
    assert.deepEqual((await detail(held.reservationId)).committed, tokens(700))
  },
  release: async () => {
    const { reservationId } = await reserve(holding("release", 400))
    const { released, status } = await release(reservationId)
    assert.deepEqual([status, released], ["RELEASED", tokens(400)])
    assert.equal((await detail(reservationId)).status, "RELEASED")
  },
  extend: async () => {
    const { expiresAtMs, reservationId } = await reserve(holding("extend", 100, { ttlMs: 10_000 }))
    const extended = answered(
      await client.extendReservation(
        reservationId,
        reservationExtendRequestToWire({ idempotencyKey: randomUUID(), extendByMs: 30_000 })
      ),
      200,
      reservationExtendResponseFromWire
    )
    assert.deepEqual([extended.status, extended.expiresAtMs], ["ACTIVE", expiresAtMs + 30_000])
    await commit(reservationId, 50)
  },
  denied: async () => {
    const response = await client.createReservation(reservationCreateRequestToWire(holding("denied", 101)))
    refused(response, 409, "BUDGET_EXCEEDED")
  },
  caps: async () => {
    const { caps, decision, reservationId } = await reserve(holding("caps", 10))
    assert.equal(decision, "ALLOW_WITH_CAPS")
    assert.equal(caps.maxTokens, 256)
    assert.deepEqual([isToolAllowed(caps, "shell"), isToolAllowed(caps, "search")], [false, true])
    assert.deepEqual(capsFromWire({ max_tokens: 256, tool_denylist: ["shell"] }), caps)
    await commit(reservationId, 10)
  },
  expired: async () => {
    const { reservationId } = await reserve(holding("expired", 100, { ttlMs: 1_000, gracePeriodMs: 0 }))
    await sleep(1_200)
    refused(await committing(reservationId, 100), 410, "RESERVATION_EXPIRED")
  },
  finalized: async () => {
    const { reservationId } = await reserve(holding("finalized", 100))
    await commit(reservationId, 30)
    refused(await committing(reservationId, 40), 409, "RESERVATION_FINALIZED")
  },
  event: async () => {
    const { eventId, status } = answered(
      await client.createEvent(
        eventCreateRequestToWire({
          idempotencyKey: randomUUID(),
          subject: { tenant, agent: "event" },
          action,
          actual: tokens(50)
        })
      ),
      201,
      eventCreateResponseFromWire
    )
    assert.equal(status, "APPLIED")
    assert.ok(eventId)
  },
  decide: async () => {
    const ask = async (amount) =>
      answered(
        await client.decide(
          decisionRequestToWire({
            idempotencyKey: randomUUID(),
            subject: { tenant, agent: "decide" },
            action,
            estimate: tokens(amount)
          })
        ),
        200,
        decisionResponseFromWire
      )
    assert.equal((await ask(100)).decision, "ALLOW")
    const { decision, reasonCode } = await ask(101)
    assert.deepEqual([decision, reasonCode], ["DENY", "BUDGET_EXCEEDED"])
  },
  dryRun: async () => {
    const tried = await reserve(holding("dryRun", 100, { dryRun: true }))
    assert.deepEqual([tried.decision, tried.reservationId, tried.expiresAtMs], ["ALLOW", undefined, undefined])
  },
  list: async () => {
    const made = []
    for (let i = 0; i < 3; i++) made.push((await reserve(holding("list", 10))).reservationId)
    const page = async (more) =>
      answered(
        await client.listReservations({ agent: "list", status: "ACTIVE", limit: "2", ...more }),
        200,
        reservationListResponseFromWire
      )
    const first = await page({})
    assert.deepEqual([first.reservations.length, first.hasMore], [2, true])
    const second = await page({ cursor: first.nextCursor })
    assert.deepEqual([second.reservations.length, second.hasMore ?? false], [1, false])
    const found = [...first.reservations, ...second.reservations].map(({ reservationId }) => reservationId)
    assert.deepEqual(found.toSorted(), made.toSorted())
    for (const id of made) await release(id)
    assert.equal((await page({})).reservations.length, 0)
  },
  balances: async () => {
    const { reservationId } = await reserve(holding("balances", 100))
    await commit(reservationId, 25)
    const open = await reserve(holding("balances", 75))
    const { balances } = answered(await client.getBalances({ tenant, agent: "balances" }), 200, balanceResponseFromWire)
    const own = balances.find(({ scope }) => scope === `tenant:${tenant}/agent:balances`)
    assert.deepEqual(
      [own.allocated, own.spent, own.reserved, own.remaining].map(({ amount }) => amount),
      [10_000, 25, 75, 9_900]
    )
    await release(open.reservationId)
  },
  replay: async () => {
    const request = holding("replay", 100)
    const first = await reserve(request)
    const second = await reserve(request)
    assert.deepEqual({ ...second, remainingTtlMs: 0 }, { ...first, remainingTtlMs: 0 })
    const key = randomUUID()
    const committed = await commit(first.reservationId, 100, { idempotencyKey: key })
    assert.deepEqual(await commit(first.reservationId, 100, { idempotencyKey: key }), committed)
    const event = eventCreateRequestToWire({
      idempotencyKey: randomUUID(),
      subject: { tenant, agent: "replay" },
      action,
      actual: tokens(7)
    })
    const once = answered(await client.createEvent(event), 201, eventCreateResponseFromWire)
    assert.deepEqual(answered(await client.createEvent(event), 201, eventCreateResponseFromWire), once)
  },
  mismatch: async () => {
    const request = holding("mismatch", 100)
    const { reservationId } = await reserve(request)
    const other = reservationCreateRequestToWire({ ...request, estimate: tokens(101) })
    refused(await client.createReservation(other), 409, "IDEMPOTENCY_MISMATCH")
    await release(reservationId)
  },
  unauthorized: async () => {
    const stranger = new CyclesClient(new CyclesConfig({ ...client.config, apiKey: "nobody" }))
    const response = await stranger.createReservation(reservationCreateRequestToWire(holding("unauthorized", 1)))
    refused(response, 401, "UNAUTHORIZED")
  },
  forbidden: async () => {
    const request = holding("forbidden", 1, { subject: { tenant: "somebody-else" } })
    refused(await client.createReservation(reservationCreateRequestToWire(request)), 403, "FORBIDDEN")
  },
  notFound: async () => {
    refused(await committing("rsv_there-is-none", 1), 404, "NOT_FOUND")
    refused(await client.getReservation("rsv_there-is-none"), 404, "NOT_FOUND")
  },
  unitMismatch: async () => {
    const { reservationId } = await reserve(holding("unitMismatch", 100))
    const other = { actual: { unit: "CREDITS", amount: 1 } }
    refused(await committing(reservationId, 1, other), 400, "UNIT_MISMATCH")
    await release(reservationId)
  },
  invalid: async () => {
    refused(
      await client.createReservation(reservationCreateRequestToWire(holding("invalid", -1))),
      400,
      "INVALID_REQUEST"
    )
    const unknown = { ...reservationCreateRequestToWire(holding("invalid", 1)), surprise: true }
    refused(await client.createReservation(unknown), 400, "INVALID_REQUEST")
  },
  debt: async () => {
    const { reservationId } = await reserve(holding("debt", 100, { overagePolicy: "ALLOW_WITH_OVERDRAFT" }))
    assert.deepEqual((await commit(reservationId, 150)).charged, tokens(150))
    const response = await client.createReservation(reservationCreateRequestToWire(holding("debt", 1)))
    refused(response, 409, "BUDGET_EXCEEDED")
  },
  overLimit: async () => {
    const { reservationId } = await reserve(holding("overLimit", 100, { overagePolicy: "ALLOW_IF_AVAILABLE" }))
    assert.deepEqual((await commit(reservationId, 150)).charged, tokens(100))
    const response = await client.createReservation(reservationCreateRequestToWire(holding("overLimit", 1)))
    refused(response, 409, "OVERDRAFT_LIMIT_EXCEEDED")
  },
  indebted: async () => {
    const response = await client.createReservation(reservationCreateRequestToWire(holding("indebted", 1)))
    refused(response, 409, "DEBT_OUTSTANDING")
  },
  exact: async () => {
    const { reservationId } = await reserve(holding("exact", Number.MAX_SAFE_INTEGER))
    const { charged } = await commit(reservationId, Number.MAX_SAFE_INTEGER)
    assert.deepEqual(charged, tokens(Number.MAX_SAFE_INTEGER))
  },
  metadata: async () => {
    const { reservationId } = await reserve(
      holding("metadata", 20, {
        subject: { tenant, agent: "metadata", dimensions: { run_id: "run-1" } },
        action: { ...action, tags: ["night"] },
        metadata: { purpose: "proof" }
      })
    )
    await commit(reservationId, 12, {
      metrics: { tokensInput: 4, tokensOutput: 8, latencyMs: 20, modelVersion: "1", custom: { cached: true } },
      metadata: { purpose: "proof of charge" }
    })
    const found = await detail(reservationId)
    assert.deepEqual(found.subject.dimensions, { run_id: "run-1" })
    assert.deepEqual(found.action.tags, ["night"])
    assert.equal(found.metadata.purpose, "proof")
  },
  guard: async () => {
    const call = withCycles(
      guarded("guard", (text) => text.length * 10, { actual: ({ used }) => used }),
      async (text) => {
        const { decision, reservationId } = getCyclesContext()
        assert.equal(decision, "ALLOW")
        assert.ok(reservationId)
        return { text, used: 42 }
      }
    )
    assert.deepEqual(await call("0123456789"), { text: "0123456789", used: 42 })
  },
  guardFails: async () => {
    const failure = new Error("the model is down")
    const call = withCycles(guarded("guardFails", 100), async () => {
      throw failure
    })
    await assert.rejects(call(), failure)
  },
  guardDenied: async () => {
    let runs = 0
    const call = withCycles(guarded("guardDenied", 11), async () => {
      runs++
    })
    await assert.rejects(call(), (error) => {
      assert.ok(error instanceof BudgetExceededError)
      assert.equal(error.status, 409)
      assert.ok(error.requestId)
      return true
    })
    assert.equal(runs, 0)
  },
  guardCaps: async () => {
    const call = withCycles(guarded("guardCaps", 10, { actual: 5 }), async () => {
      const { caps, decision } = getCyclesContext()
      return [decision, caps.maxTokens]
    })
    assert.deepEqual(await call(), ["ALLOW_WITH_CAPS", 128])
  },
  guardOverLimit: async () => {
    const call = withCycles(guarded("guardOverLimit", 100, { actual: 150 }), async () => "done")
    assert.equal(await call(), "done")
    await assert.rejects(call(), OverdraftLimitExceededError)
  },
  guardIndebted: async () => {
    const call = withCycles(guarded("guardIndebted", 1), async () => assert.fail("it ran"))
    await assert.rejects(call(), DebtOutstandingError)
  },
  guardDryRun: async () => {
    let runs = 0
    const call = withCycles(guarded("guardDryRun", 100, { dryRun: true }), async () => {
      runs++
    })
    assert.equal((await call()).decision, "ALLOW")
    assert.equal(runs, 0)
  },
  stream: async () => {
    const handle = await reserveForStream(guarded("stream", 100))
    assert.equal((await detail(handle.reservationId)).status, "ACTIVE")
    await handle.commit(80, { tokensInput: 30, tokensOutput: 50 })
    assert.ok(handle.finalized)
    assert.equal((await detail(handle.reservationId)).status, "COMMITTED")
  },
  streamFails: async () => {
    const handle = await reserveForStream(guarded("streamFails", 100))
    await handle.release("the reader went away")
    assert.equal((await detail(handle.reservationId)).status, "RELEASED")
  },
  heartbeat: async () => {
    const options = guarded("heartbeat", 100, { client: withTimeouts, ttlMs: 12_000, gracePeriodMs: 0, actual: 60 })
    let id
    await withCycles(options, async () => {
      id = getCyclesContext().reservationId
      await sleep(13_000)
    })()
    assert.deepEqual((await detail(id)).committed, tokens(60))
  },
  late: async () => {
    const options = guarded("late", 100, { ttlMs: 1_000, gracePeriodMs: 0, actual: 33 })
    let id
    await withCycles(options, async () => {
      id = getCyclesContext().reservationId
      await sleep(1_500)
    })()
    await flushPendingCommits()
    refused(await client.getReservation(id), 410, "RESERVATION_EXPIRED")
  }
}

// Four at a time, those first that mostly wait.
const { expired, heartbeat, late, ...others } = cases
const queue = Object.entries({ heartbeat, late, expired, ...others })
const work = async () => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const [name, run] = next
    const error = await run().then(() => undefined, (error) => `${error?.stack ?? error}`)
    console.log(JSON.stringify({ case: name, ...(error === undefined ? undefined : { error }) }))
  }
}
await Promise.all([work(), work(), work(), work()])
process.exit(0)
