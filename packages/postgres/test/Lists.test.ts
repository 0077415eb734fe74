import { LedgerStorePostgres } from "@effect-cycles/postgres"
import { assert, it } from "@effect/vitest"
import type { LedgerStore } from "effect-cycles"
import * as RowJson from "effect-cycles/ledger/RowJson"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import type { ReservationsQuery } from "effect-cycles/protocol/ReservationRecord"
import * as Effect from "effect/Effect"
import { withServer } from "./support/stores.ts"

const ROWS = 200_000

withServer(`a tenant with ${ROWS} ended reservations`, ({ fresh, sql }) => {
  it.live("has every list in a few milliseconds, in every order, and balances too", () =>
    Effect.gen(function*() {
      const options = fresh({ lanes: 1 })
      const store = yield* LedgerStorePostgres.make(options)
      const data = RowJson.reservation.encode({
        id: ReservationId.make("r"),
        tenant: "acme",
        idempotencyKey: IdempotencyKey.make("k"),
        status: "COMMITTED",
        subject: { tenant: "acme" },
        action: { kind: "a", name: "b" },
        estimate: { unit: "TOKENS", amount: 10n },
        scopes: ["tenant:acme"],
        budgeted: ["tenant:acme"],
        overagePolicy: "REJECT",
        createdAtMs: 1,
        expiresAtMs: 2,
        gracePeriodMs: 0,
        extensions: 0,
        maxExtensions: undefined,
        caps: undefined,
        policyId: undefined,
        windows: [],
        metadata: undefined,
        charged: { unit: "TOKENS", amount: 10n },
        metrics: undefined,
        committedMetadata: undefined,
        finalizedAtMs: 3
      })
      // Most have one amount, one status and one of few scopes: the groups of equal ones are large.
      yield* Effect.promise(() =>
        sql(
          `INSERT INTO "${options.schema}".ended_reservations SELECT 'r-' || lpad(i::text, 9, '0'), tenant,
              CASE WHEN i % 20000 = 7 THEN 'EXPIRED' WHEN i % 100 = 1 THEN 'RELEASED' ELSE 'COMMITTED' END,
              'tenant:' || tenant || '/agent:' || CASE WHEN i % 20000 = 9 THEN 'rare' ELSE (i % 5)::text END, 'k-' || i, 1000, i / 10, i / 10 + 60000, i / 10 + 5, i / 10 + 5,
              '${data}'
            FROM generate_series(1, ${ROWS}) i, unnest(ARRAY['acme', 'other']) tenant WHERE tenant = 'acme' OR i < 1000
            ON CONFLICT DO NOTHING`
        )
      )

      const page = { after: undefined, limit: 51 }
      const slow: Array<string> = []
      const measure = (
        name: string,
        read: (tx: LedgerStore.LedgerTx) => Effect.Effect<number, LedgerStore.StoreError>
      ) =>
        Effect.gen(function*() {
          let fastest = Infinity
          // The first time statements are planned and pages are read.
          for (let i = 0; i < 5; i++) {
            const begun = performance.now()
            const count = yield* store.transact(["acme"], read)
            fastest = Math.min(fastest, performance.now() - begun)
            assert.isAbove(count, 0, name)
          }
          if (fastest > 25) slow.push(`${name}: ${fastest.toFixed(1)} ms`)
        })

      const middle = String(ROWS / 20).padStart(20, "0")
      for (
        const sortBy of [
          "reservation_id",
          "tenant",
          "scope_path",
          "status",
          "reserved",
          "created_at_ms",
          "expires_at_ms"
        ] as const
      ) {
        for (const sortDir of ["asc", "desc"] as const) {
          const list = (name: string, query: ReservationsQuery, from: typeof page | object = page) =>
            measure(`${name} by ${sortBy} ${sortDir}`, (tx) =>
              Effect.map(
                tx.reservations("acme", { sortBy, sortDir, ...query }, { ...page, ...from }),
                ({ length }) => length
              ))
          yield* list("all", {})
          yield* list("one status", { status: "COMMITTED" })
          yield* list("by key", { idempotencyKey: IdempotencyKey.make("k-77777") })
          if (sortBy === "created_at_ms" || sortBy === "reservation_id" || sortBy === "status") {
            yield* list("a rare status", { status: "EXPIRED" })
          }
          if (sortBy === "created_at_ms") {
            yield* list("of a rare agent", { agent: "rare" })
            yield* list("of an agent", { agent: "3" })
            yield* list("of an agent, from the middle", { agent: "3" }, { after: [middle, "r-000000000"] })
            yield* list("from the middle", {}, { after: [middle, "r-000000000"] })
            yield* list("of a time", { createdFromMs: 500, createdToMs: 600 })
          }
        }
      }
      assert.deepStrictEqual(slow, [])
    }), 300_000)
})
