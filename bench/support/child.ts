/** A process that puts a load on a ledger somewhere when it is told to on standard input, and says what came of it. */
import * as Effect from "effect/Effect"
import { once } from "node:events"
import type { Address } from "./beds.ts"
import { storeOf } from "./beds.ts"
import type { Load, Outcome } from "./load.ts"
import { put, withLedger } from "./load.ts"

/** `isOpen`: somebody else has opened the budgets. */
export interface Setup {
  readonly address: Address
  readonly load: Load
  readonly isOpen: boolean
}

export type Report = Pick<Outcome, "perSecond" | "operations">

const setup = JSON.parse(process.argv[2] ?? "") as Setup

const report = await withLedger(storeOf(setup.address), setup.load, (ledger, watch) =>
  Effect.gen(function*() {
    process.stdout.write("ready\n")
    yield* Effect.promise(() => once(process.stdin, "data"))
    const { operations, perSecond } = yield* put(ledger, setup.load, watch)
    const report: Report = { operations, perSecond }
    return report
  }), setup.isOpen)
console.log(JSON.stringify(report))
process.exit(0)
