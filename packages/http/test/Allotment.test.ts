/** What a crash in the middle of an allotment loses: real HTTP, and a real process that is killed. */
import { assert, describe, it } from "@effect/vitest"
import { Breakdown, Ledger } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Processes from "./recovery/processes.ts"
import { temporary, until } from "./recovery/processes.ts"
import { apiKey, layerRemote, Server } from "./support.ts"

const CHILDREN = 100
const TAKES_MS = 20
const SETTLE_EVERY_MS = 300

const acme: Ledger.Principal = { tenant: "acme" }

describe("a process that is killed in an allotment, after a hundred of its children were settled,", () => {
  it.live("loses what was charged since the last renewal, and no more", () =>
    Effect.gen(function*() {
      const { url } = yield* Server
      const authority = (yield* Ledger.Ledger).as(acme)
      const script = yield* Effect.flatMap(temporary, (folder) =>
        Effect.promise(() => Processes.bundle(folder, "allotting.ts")))
      const child = yield* Processes.start(script, {
        baseUrl: url,
        apiKey,
        settleEvery: SETTLE_EVERY_MS,
        takes: TAKES_MS
      })
      const settled = (): number =>
        child.lines.at(-1)?.settled ?? 0
      yield* until("the children are settled", () => settled() >= CHILDREN)
      assert.strictEqual(yield* child.kill, "SIGKILL")
      const total = settled()

      const { reservations } = yield* authority.reservations({ include: ["committed_metadata"] })
      const committed = reservations.filter(({ status }) => status === "COMMITTED")
      const kept = committed.flatMap(({ committedMetadata }) =>
        Option.getOrElse(Breakdown.fromMetadata(committedMetadata), () => [])
      )
      const { balances } = yield* authority.balances({ tenant: "acme" })
      const spent = balances[0]?.spent?.amount ?? 0n
      // What the commits say they were for is what was charged.
      assert.strictEqual(Breakdown.total(kept), spent)
      // One chunk is open, and for the moment of its settlement the one before it.
      assert.include([1, 2], reservations.length - committed.length)
      assert.isAbove(committed.length, 1)

      // A chunk is as many children as there is time for in it; twice that leaves room for a machine that is busy.
      const lost = total - Number(spent / 10n)
      assert.isAtLeast(lost, 0)
      assert.isAtMost(lost, 2 * SETTLE_EVERY_MS / TAKES_MS, `of ${total}, after ${committed.length} chunks`)

      // Nobody extends what it held.
      yield* Effect.repeat(Effect.delay(authority.balances({ tenant: "acme" }), 200), {
        until: ({ balances }) => balances[0]?.reserved?.amount === 0n
      })
      assert.strictEqual((yield* authority.balances({ tenant: "acme" })).balances[0]?.spent?.amount, spent)
    }).pipe(
      Effect.provide(layerRemote(acme, [{ scope: "tenant:acme", allocated: { unit: "TOKENS", amount: 1_000_000n } }]))
    ))
})
