import { assert, beforeAll, describe, it } from "@effect/vitest"
import {
  Action,
  Amount,
  BudgetAuthority,
  CyclesError,
  Heartbeat,
  Ledger,
  makePromiseClient,
  PromiseClient,
  Reservation
} from "effect-cycles"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFile, spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(60) }

const ledger = Ledger.layerMemory({
  tenant: "acme",
  budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(100) }]
})

/** The ledger behind an authority that is different in places. */
const changed = (change: (authority: BudgetAuthority.Operations) => Partial<BudgetAuthority.Operations>) =>
  Layer.effect(
    BudgetAuthority.BudgetAuthority,
    Effect.map(BudgetAuthority.BudgetAuthority, (authority) => ({ ...authority, ...change(authority) }))
  ).pipe(Layer.provideMerge(ledger))

const spent = async (client: PromiseClient.PromiseClient) => {
  const { balances } = await client.balances({ tenant: "acme" })
  return [balances[0]?.spent?.amount, balances[0]?.reserved?.amount]
}

const caught = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then((value) => assert.fail(`gave ${String(value)} and did not throw`), (error: unknown) => error)

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1))
}

/** Settles never. */
const forever = () => new Promise<never>(() => {})

describe("PromiseClient.guard", () => {
  it("gives the value and charges what was used", async () => {
    await using client = makePromiseClient({ layer: ledger })
    const text = await client.guard(request, async (r, signal) => {
      assert.deepStrictEqual(await spent(client), [0n, 60n])
      assert.isFalse(signal.aborted)
      return r.commit(Amount.tokens(42), `${r.reserved.amount} held`)
    })
    assert.strictEqual(text, "60 held")
    assert.deepStrictEqual(await spent(client), [42n, 0n])
    const small = { ...request, estimate: Amount.tokens(50) }
    assert.isUndefined(await client.guard(small, async (r) => r.release()))
    assert.strictEqual(await client.guard(small, async (r) => r.release("nothing used")), "nothing used")
    assert.deepStrictEqual(await spent(client), [42n, 0n])
  })

  it("throws denials as the classes they are, and does not run the body", async () => {
    await using client = makePromiseClient({ layer: ledger })
    let ran = false
    const error = await caught(client.guard({ ...request, estimate: Amount.tokens(101) }, async (r) => {
      ran = true
      return r.release()
    }))
    assert.instanceOf(error, CyclesError.BudgetExceeded)
    assert.strictEqual(error._tag, "BudgetExceeded")
    assert.isTrue(CyclesError.isDenied(error))
    assert.isFalse(ran)
  })

  it("throws what the body throws, the very same, and gives the hold back", async () => {
    await using client = makePromiseClient({ layer: ledger })
    const boom = new Error("boom")
    const fails = async () => Promise.reject(boom)
    const throwsAtOnce = () => {
      throw boom
    }
    assert.strictEqual(await caught(client.guard(request, fails)), boom)
    assert.strictEqual(await caught(client.guard(request, throwsAtOnce)), boom)
    assert.deepStrictEqual(await spent(client), [0n, 0n])
    assert.strictEqual(
      await caught(client.guard(request, async (r) => r.commitFail(Amount.tokens(7), boom))),
      boom
    )
    assert.deepStrictEqual(await spent(client), [7n, 0n])
    await caught(client.guard({ ...request, onUnsettled: () => Amount.tokens(3) }, fails))
    assert.deepStrictEqual(await spent(client), [10n, 0n])
  })

  it("refuses at run time what plain JavaScript may return instead of a settlement", async () => {
    await using client = makePromiseClient({ layer: ledger })
    const untyped = client.guard as unknown as (request: unknown, body: () => unknown) => Promise<unknown>
    for (const value of [undefined, "text", { _tag: "Commit" }]) {
      const error = await caught(untyped(request, () => value))
      assert.instanceOf(error, TypeError)
      assert.include(error.message, "must return a settlement")
    }
    assert.deepStrictEqual(await spent(client), [0n, 0n])
  })

  it("says what became of the settlement where that is asked for", async () => {
    await using client = makePromiseClient({ layer: ledger, budget: { overagePolicy: "REJECT" } })
    const settled = await client.guardOutcome(request, async (r) => r.commit(Amount.tokens(61), "kept"))
    assert.strictEqual(settled.value, "kept")
    assert.strictEqual(settled.outcome._tag, "Rejected")
  })
})

describe("an AbortSignal", () => {
  it("that is aborted already sends nothing", async () => {
    await using client = makePromiseClient({ layer: changed(() => ({ reserve: () => Effect.die("was sent") })) })
    const reason = new Error("too late")
    const signal = AbortSignal.abort(reason)
    assert.strictEqual(await caught(client.guard(request, async (r) => r.release(), { signal })), reason)
  })

  it("interrupts the body, whose own signal has the same reason, and gives the hold back", async () => {
    await using client = makePromiseClient({ layer: ledger })
    const controller = new AbortController()
    const reason = new Error("no longer needed")
    let inner: AbortSignal | undefined
    const call = client.guard(request, (_, signal) => {
      inner = signal
      return forever()
    }, { signal: controller.signal })
    await until(() => inner !== undefined)
    assert.deepStrictEqual(await spent(client), [0n, 60n])
    controller.abort(reason)
    assert.strictEqual(await caught(call), reason)
    assert.isTrue(inner?.aborted)
    assert.strictEqual(inner?.reason, reason)
    assert.deepStrictEqual(await spent(client), [0n, 0n])
  })

  it("returns at once while a reserve is under way, and leaves nothing behind", async () => {
    let sent = 0
    const released: Array<string> = []
    const client = makePromiseClient({
      layer: changed(({ release, reserve }) => ({
        reserve: (request) =>
          Effect.suspend(() => {
            sent++
            return Effect.delay(reserve(request), "50 millis")
          }),
        release: (id, request) =>
          Effect.suspend(() => {
            released.push(id)
            return release(id, request)
          })
      }))
    })
    const reason = new Error("no longer needed")
    const aborted = async (start: (options: PromiseClient.CallOptions) => Promise<unknown>): Promise<void> => {
      const before = sent
      const controller = new AbortController()
      const call = caught(start({ signal: controller.signal }))
      await until(() => sent > before)
      controller.abort(reason)
      assert.strictEqual(await call, reason)
    }
    await aborted((options) => client.reserve(request, options))
    await aborted((options) => client.guard({ ...request, estimate: Amount.tokens(10) }, forever, options))
    assert.lengthOf(released, 0)
    await client.close()
    assert.lengthOf(released, 2)
  })

  it("is aborted for the body where a lost lease interrupts", async () => {
    await using client = makePromiseClient({
      layer: changed(() => ({ extend: () => Effect.fail(new CyclesError.ReservationExpired({})) })),
      budget: { heartbeat: "interrupt", ttl: 1_000 }
    })
    let inner: AbortSignal | undefined
    const error = await caught(client.guard(request, (_, signal) => {
      inner = signal
      return forever()
    }))
    assert.instanceOf(error, Heartbeat.LeaseLost)
    assert.isTrue(inner?.aborted)
  })
})

describe("PromiseClient.reserve", () => {
  it("gives a handle that is settled once", async () => {
    await using client = makePromiseClient({ layer: ledger })
    const r = await client.reserve(request)
    assert.strictEqual(r.reserved.amount, 60n)
    assert.isUndefined(r.caps)
    assert.isUndefined(r.lost)
    assert.strictEqual((await r.commit(Amount.tokens(5)))._tag, "Committed")
    assert.instanceOf(await caught(r.release()), Reservation.AlreadySettled)
    await r[Symbol.asyncDispose]()
    assert.deepStrictEqual(await spent(client), [5n, 0n])
  })

  it("gives back at the end of its block what was not settled", async () => {
    await using client = makePromiseClient({ layer: ledger })
    {
      await using r = await client.reserve(request)
      assert.deepStrictEqual([r.held, ...await spent(client)], [true, 0n, 60n])
    }
    assert.deepStrictEqual(await spent(client), [0n, 0n])
  })

  it("is kept alive until it is settled", async () => {
    let beats = 0
    await using client = makePromiseClient({
      layer: changed(({ extend }) => ({
        extend: (id, request) =>
          Effect.suspend(() => {
            beats++
            return extend(id, request)
          })
      })),
      budget: { ttl: 3_000, heartbeatTimeout: 500 }
    })
    await using r = await client.reserve(request)
    await until(() => beats === 1)
    assert.isUndefined(r.lost)
    assert.strictEqual((await r.release())._tag, "Released")
  })
})

describe("the other operations", () => {
  it("complete requests as guards do, spender and all", async () => {
    await using client = makePromiseClient({ layer: ledger, budget: { subject: { workspace: "w" } } })
    const writer = client.within({ workflow: "report" }).within({ agent: "writer", tags: ["night"] })
    assert.strictEqual((await writer.decide(request)).decision, "ALLOW")
    const { affectedScopes } = await writer.decide(request)
    assert.strictEqual(affectedScopes?.at(-1), "tenant:acme/workspace:w/workflow:report/agent:writer")
    const event = await writer.event({ action: request.action, actual: Amount.tokens(9) })
    assert.strictEqual(event.status, "APPLIED")
    assert.deepStrictEqual(await spent(client), [9n, 0n])
    const scopes = await writer.guard(
      { ...request, subject: { toolset: "t" } },
      async (r) => r.release(r.affectedScopes)
    )
    assert.strictEqual(scopes.at(-1), "tenant:acme/workspace:w/workflow:report/agent:writer/toolset:t")
    assert.strictEqual((await client.decide({ ...request, estimate: Amount.tokens(101) })).decision, "DENY")
  })

  it("settle by id what was taken elsewhere, and repeat safely", async () => {
    await using client = makePromiseClient({ layer: ledger })
    const first = await client.reserve({ ...request, estimate: Amount.tokens(20) })
    const second = await client.reserve({ ...request, estimate: Amount.tokens(20) })
    for (let i = 0; i < 2; i++) {
      assert.strictEqual((await client.commit(first.id, Amount.tokens(11))).charged.amount, 11n)
      assert.strictEqual((await client.release(second.id)).released.amount, 20n)
    }
    assert.deepStrictEqual(await spent(client), [11n, 0n])
    assert.strictEqual((await client.reservation(first.id)).status, "COMMITTED")
    assert.lengthOf((await client.reservations({ status: "RELEASED" })).reservations, 1)
    assert.instanceOf(await caught(client.release(first.id)), CyclesError.ReservationFinalized)
  })
})

describe("PromiseClient.close", () => {
  it("ends what is under way, gives back what is held, and refuses what comes after", async () => {
    const released: Array<string> = []
    const client = makePromiseClient({
      layer: changed(({ release }) => ({
        release: (id, request) =>
          Effect.suspend(() => {
            released.push(id)
            return release(id, request)
          })
      }))
    })
    const r = await client.reserve({ ...request, estimate: Amount.tokens(10) })
    let inner: AbortSignal | undefined
    let id: string | undefined
    const call = caught(client.guard(request, (r, signal) => {
      inner = signal
      id = r.id
      return forever()
    }))
    await until(() => inner !== undefined)
    await Promise.all([client.close(), client.close()])
    assert.instanceOf(await call, PromiseClient.ClientClosed)
    assert.isTrue(inner?.aborted)
    assert.sameMembers(released, [r.id, id])
    assert.instanceOf(await caught(r.release()), PromiseClient.ClientClosed)
    assert.instanceOf(await caught(client.balances({ tenant: "acme" })), PromiseClient.ClientClosed)
    await r[Symbol.asyncDispose]()
    await client[Symbol.asyncDispose]()
  })

  it("throws at every call what the layer cannot be built for", async () => {
    const broken = new Error("no such host")
    const client = makePromiseClient({ layer: Layer.effect(BudgetAuthority.BudgetAuthority, Effect.fail(broken)) })
    assert.strictEqual(await caught(client.reserve(request)), broken)
    assert.strictEqual(await caught(client.balances({ tenant: "acme" })), broken)
    await client.close()
  })

  it("leaves the clock to a layer that brings its own", async () => {
    const still: Clock.Clock = {
      ...Clock.Clock.defaultValue(),
      currentTimeMillisUnsafe: () => 1_234,
      currentTimeMillis: Effect.succeed(1_234),
      monotonicTimeNanosUnsafe: () => 0n,
      sleep: () => Effect.never
    }
    await using client = makePromiseClient({
      layer: ledger.pipe(Layer.provideMerge(Layer.succeed(Clock.Clock, still)))
    })
    const r = await client.reserve({ ...request, ttl: 1_000 })
    assert.strictEqual(r.expiresAtMs, 2_234)
  })
})

describe("a plain script", () => {
  const folder = fileURLToPath(new URL("../..", import.meta.url))

  beforeAll(() => {
    const tsc = fileURLToPath(new URL("../../../../node_modules/typescript/bin/tsc", import.meta.url))
    const built = spawnSync(process.execPath, [tsc, "-b", folder], { encoding: "utf8" })
    assert.strictEqual(built.status, 0, built.stdout)
  }, 120_000)

  /** Runs a script under plain Node. `afterMs` is how long it lived after its last line. */
  const script = (body: string): Promise<{ code: number; output: Array<string>; afterMs: number }> =>
    new Promise((resolve) => {
      const text = `
        import { Action, Amount, BudgetAuthority, CyclesError, Ledger, makePromiseClient } from "effect-cycles"
        import * as Effect from "effect/Effect"
        import * as Layer from "effect/Layer"
        const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(60) }
        const ledger = Ledger.layerMemory({
          tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(100) }]
        })
        const layerWith = (change) => Layer.effect(
          BudgetAuthority.BudgetAuthority,
          Effect.map(BudgetAuthority.BudgetAuthority, (authority) => ({ ...authority, ...change(authority) }))
        ).pipe(Layer.provideMerge(ledger))
        const tellingReleases = layerWith(({ release }) => ({
          release: (id, request) => Effect.tap(release(id, request), ({ released }) =>
            Effect.sync(() => console.log("released", released.amount.toString())))
        }))
        ${body}
        const lastLineAt = performance.now()
        process.on("exit", () => console.log("lived on for", performance.now() - lastLineAt))
      `
      // Told by the script itself: how long the machine takes to tear a process down and to say so is not its doing.
      execFile(process.execPath, ["--input-type=module", "-e", text], { cwd: folder }, (error, stdout, stderr) => {
        const lines = `${stdout}${stderr}`.split("\n").filter((line) => line !== "")
        const lived = lines.findIndex((line) => line.startsWith("lived on for "))
        const [line] = lines.splice(lived, lived === -1 ? 0 : 1)
        resolve({
          code: typeof error?.code === "number" ? error.code : 0,
          output: lines,
          afterMs: Number(line?.slice("lived on for ".length))
        })
      })
    })

  it("that forgets to close its client exits within a second", async () => {
    const { afterMs, code, output } = await script(`
      const client = makePromiseClient({ layer: ledger })
      console.log(await client.guard(request, async (r) => r.commit(Amount.tokens(5), "done")))
    `)
    assert.deepStrictEqual([code, output], [0, ["done"]])
    assert.isBelow(afterMs, 1_000)
  })

  it("that forgets a reservation exits within a second, and gives it back", async () => {
    const { afterMs, code, output } = await script(`
      const client = makePromiseClient({ layer: tellingReleases })
      const r = await client.reserve(request)
    `)
    assert.deepStrictEqual([code, output], [0, ["released 60"]])
    assert.isBelow(afterMs, 1_000)
  })

  it("that forgets a call that never ends exits within a second, and gives back what it held", async () => {
    const { afterMs, code, output } = await script(`
      const client = makePromiseClient({ layer: tellingReleases })
      client.guard(request, () => new Promise(() => {}))
    `)
    assert.deepStrictEqual([code, output], [0, ["released 60"]])
    assert.isBelow(afterMs, 1_000)
  })

  it("that forgets a reservation nobody takes back exits within a second all the same", async () => {
    const { afterMs, code, output } = await script(`
      const client = makePromiseClient({ layer: layerWith(() => ({
        release: () => Effect.fail(new CyclesError.AuthorityUnavailable({}))
      })) })
      const r = await client.reserve(request)
    `)
    assert.deepStrictEqual([code, output], [0, []])
    assert.isBelow(afterMs, 1_000)
  })

  it("that waits for a call lives until it is answered, also where that takes repetitions", async () => {
    const { code, output } = await script(`
      let refused = 0
      const client = makePromiseClient({ layer: layerWith(({ commit }) => ({
        commit: (id, request) => Effect.suspend(() =>
          refused++ < 3 ? Effect.fail(new CyclesError.AuthorityUnavailable({})) : commit(id, request))
      })) })
      console.log(await client.guard(request, async (r) => r.commit(Amount.tokens(5), "charged")), refused)
    `)
    assert.deepStrictEqual([code, output], [0, ["charged 4"]])
  })
})
