/**
 * What is inferred of calls through a promise client. What must be rejected is in `misuse/promise-*.ts`.
 */
import type { CyclesError, PromiseClient, Settlement } from "effect-cycles"
import { Action, Amount, Ledger, makePromiseClient, Reservation } from "effect-cycles"

type Equals<X, Y> = (<T>() => T extends X ? 1 : 2) extends (<T>() => T extends Y ? 1 : 2) ? true : false

/** `expectType(value).is<Expected>()` does not compile where the type of the value is anything but `Expected`. */
const expectType = <Actual>(_actual: Actual) => ({
  is: <Expected>(..._proof: Equals<Actual, Expected> extends true ? [] : [{ expected: Expected; actual: Actual }]) => {}
})

// A layer that offers more than an authority, and one that can fail, will do.
const client = makePromiseClient({ layer: Ledger.layerMemory({ tenant: "acme", budgets: [] }) })
const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }
const callLlm = async (_prompt: string, _signal: AbortSignal) => ({ text: "fine", tokens: 3 })

expectType(
  client.guard(request, async (r, signal) => {
    const out = await callLlm("hi", signal)
    return r.commit(Amount.tokens(out.tokens), out.text)
  })
).is<Promise<string>>()

expectType(client.guard(request, (r) => Promise.resolve(r.release()))).is<Promise<void>>()

expectType(
  client.guard(request, async (r) => {
    if (r.caps !== undefined) return r.release(null)
    const out = await callLlm("hi", AbortSignal.timeout(1_000))
    return out.tokens > 1 ? r.commit(Amount.tokens(1), out.text) : r.commitFail(Amount.tokens(1), new Error("cut off"))
  })
).is<Promise<string | null>>()

// A body of its own, which names both parameters.
const body = async <S>(r: Reservation.Guarded<S, "TOKENS">, signal: AbortSignal) => {
  const out = await callLlm("hi", signal)
  return r.commit(Amount.tokens(out.tokens), out.text)
}
expectType(client.guard(request, body)).is<Promise<string>>()

// Guards inside of guards, of one unit or two.
expectType(
  client.guard(request, async (outer) => {
    const inner = await client.guard(
      { action: Action.make("tool.search", "web"), estimate: Amount.usd(0.05) },
      async (r) => r.commit(Amount.usd(0.01), 7)
    )
    return outer.commit(Amount.tokens(inner), inner)
  })
).is<Promise<number>>()

expectType(client.guardOutcome(request, async (r) => r.commit(Amount.tokens(1), "x"))).is<
  Promise<Settlement.Settled<string>>
>()

expectType(client.reserve(request)).is<Promise<PromiseClient.Handle<"TOKENS">>>()
expectType(client.within({ agent: "writer" })).is<PromiseClient.PromiseClient>()
export const settled = async (): Promise<Settlement.Outcome> => {
  await using r = await client.reserve(request)
  return r.commit(Amount.tokens(1))
}

export const denied = (error: unknown, isDenied: typeof CyclesError.isDenied): string =>
  isDenied(error) ? error._tag : error instanceof Reservation.AlreadySettled ? error.reservationId : "other"
