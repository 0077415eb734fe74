import { LedgerStorePostgres } from "@effect-cycles/postgres"
import { ModelConformance } from "@effect-cycles/testing"
import * as Redacted from "effect/Redacted"
import { withServer } from "./support/stores.ts"

withServer("the server and the model", ({ server }) => {
  ModelConformance.suite("a ledger in PostgreSQL", {
    layer: () =>
      LedgerStorePostgres.layer({
        url: Redacted.make(server().url()),
        path: server().socket,
        schema: "model",
        clock: "program",
        synchronousCommit: "off"
      }),
    isDurable: true
  })
})
