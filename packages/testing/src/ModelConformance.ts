/**
 * A ledger on a store of yours against the {@link ReferenceModel}: seeded command sequences, each given to both, which must agree
 * on every reply and every balance. And the other way round: stores that are broken on purpose, each of which must be found out.
 *
 * Sequences run side by side in one store, each with tenants and a time of its own. Some are done one command at a time, some
 * several at once, in one transaction; in some the store is opened anew in the middle.
 *
 * Environment: `CYCLES_SEQUENCES` says how many (200 when not set), `CYCLES_SEED` names one to run alone.
 *
 * **Example** (The store in memory)
 *
 * ```ts
 * import type { ModelConformance } from "@effect-cycles/testing"
 * import { LedgerStoreMemory } from "effect-cycles"
 *
 * const options: ModelConformance.Options<never> = { layer: () => LedgerStoreMemory.layer, isDurable: false }
 *
 * // In a test file: ModelConformance.suite("a ledger in memory", options)
 * console.log(options.isDurable) // => false
 * ```
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import { LedgerStore } from "effect-cycles"
import type { LedgerTx } from "effect-cycles/ledger/LedgerStore"
import type { Writes } from "effect-cycles/ledger/View"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Commands from "./Commands.ts"
import * as LedgerInStep from "./LedgerInStep.ts"

/**
 * The store.
 *
 * - `layer`: opens it, on the same data whenever it is built. Time must be Effect's `Clock`, and nothing else may write to it
 * - `isDurable`: whether what one building of the layer has written is there for the next
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<E> {
  readonly layer: () => Layer.Layer<LedgerStore.LedgerStore, E>
  readonly isDurable: boolean
}

const LENGTH = 50

const SIDE_BY_SIDE = 12

const TIMEOUT_MS = 1_800_000

/** Most sequences send several commands at once, and some are restarted. */
const howOf = (seed: number): { readonly atOnce: number; readonly restarts: number } => ({
  atOnce: seed % 8 === 0 ? 1 : 12,
  restarts: seed % 50 === 7 ? 1 : 0
})

const scenarioOf = (seed: number, prefix: string): Commands.Scenario =>
  Commands.generate(seed, LENGTH, { seededDebt: false, prefix })

/** What a store may get wrong. */
const faults: Readonly<Record<string, (tx: LedgerTx) => LedgerTx>> = {
  "forgets which requests it has seen": (tx) => writing(tx, () => ({ records: [] })),
  "loses the last of several budgets": (tx) =>
    writing(tx, ({ budgets }) => ({ budgets: budgets.length > 1 ? budgets.slice(0, -1) : budgets })),
  "loses how reservations end": (tx) =>
    writing(tx, ({ reservations }) => ({ reservations: reservations.filter(({ status }) => status === "ACTIVE") })),
  "loses entries": (tx) => writing(tx, () => ({ entries: [] })),
  "loses counters": (tx) => writing(tx, () => ({ counters: [] })),
  "loses policies": (tx) => writing(tx, () => ({ documents: [] })),
  "keeps policies that were deleted": (tx) => writing(tx, () => ({ removed: [] })),
  "loses what is known of a tenant": (tx) =>
    writing(tx, ({ tenants }) => ({ tenants: tenants.map((tenant) => ({ ...tenant, profile: undefined })) })),
  "is a second ahead": (tx) => ({ ...tx, now: tx.now + 1_000 }),
  "lists but one budget": (tx) => ({
    ...tx,
    budgets: (...args) => Effect.map(tx.budgets(...args), (rows) => rows.slice(0, 1))
  }),
  "lists reservations backwards": (tx) => ({
    ...tx,
    reservations: (...args) => Effect.map(tx.reservations(...args), (rows) => rows.toReversed())
  })
}

const writing = (tx: LedgerTx, change: (writes: Writes) => Partial<Writes>): LedgerTx => ({
  ...tx,
  write: (writes) => tx.write({ ...writes, ...change(writes) })
})

/**
 * Registers the tests of a store with Vitest.
 *
 * @category tests
 * @since 0.1.0
 */
export const suite = <E>(name: string, options: Options<E>): void => {
  /** The store, built once. */
  const shared = Effect.map(
    Effect.suspend(() => Layer.build(Layer.fresh(options.layer()))),
    Layer.succeedContext
  )

  describe(`${name} and the reference model`, () => {
    it.live("agree on every reply and balance of seeded command sequences", () =>
      Effect.gen(function*() {
        const alone = yield* Config.option(Config.Int("CYCLES_SEED"))
        const sequences = yield* Config.withDefault(Config.Int("CYCLES_SEQUENCES"), 200)
        const seeds = Option.isSome(alone) ? [alone.value] : Array.from({ length: sequences }, (_, i) => i + 1)
        const store = yield* shared
        const startedAt = yield* Clock.currentTimeMillis
        let steps = 0
        yield* Effect.forEach(
          seeds,
          (seed) =>
            Effect.gen(function*() {
              const how = howOf(seed)
              const own = how.restarts > 0 && options.isDurable ? Layer.suspend(options.layer) : store
              const { difference, entries } = yield* LedgerInStep.run(scenarioOf(seed, `s${seed}-`), own, how)
              steps += entries.length
              assert.isUndefined(
                difference,
                `CYCLES_SEED=${seed} in the environment runs this sequence alone. ${LedgerInStep.print(difference)}`
              )
            }),
          { concurrency: SIDE_BY_SIDE, discard: true }
        )
        const seconds = ((yield* Clock.currentTimeMillis) - startedAt) / 1_000
        yield* Console.log(
          `${name}: ${seeds.length} sequences of ${LENGTH} commands, ${steps} requests in ${seconds.toFixed(1)} s, ` +
            `${Math.round(seeds.length * LENGTH / seconds)} commands/s`
        )
      }), TIMEOUT_MS)

    it.live("disagree as soon as the store gets anything wrong", () =>
      Effect.gen(function*() {
        const store = yield* shared
        const undetected: Array<string> = []
        for (const [i, [fault, broken]] of Object.entries(faults).entries()) {
          const faulty = Layer.effect(
            LedgerStore.LedgerStore,
            Effect.map(LedgerStore.LedgerStore, (own): LedgerStore.Operations => ({
              ...own,
              transact: (tenants, body) => own.transact(tenants, (tx) => body(broken(tx)))
            }))
          ).pipe(Layer.provide(store))
          let isDetected = false
          for (let seed = 1; seed <= 100 && !isDetected; seed++) {
            const exit = yield* Effect.exit(LedgerInStep.run(scenarioOf(seed, `f${i}-${seed}-`), faulty, { atOnce: 8 }))
            isDetected = Exit.isFailure(exit) || exit.value.difference !== undefined
          }
          if (!isDetected) undetected.push(fault)
        }
        assert.deepStrictEqual(undetected, [])
      }), TIMEOUT_MS)
  })
}
