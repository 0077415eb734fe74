/**
 * `cycles verify`: proves that the entries of a tenant add up to its balances.
 *
 * @internal
 */
import { Verification } from "@effect-cycles/http/HistoryApi"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { call, command, read, tenantFlag, tenantOf, Told } from "./client.ts"
import { exitCodes } from "./CommandError.ts"
import * as Output from "./Output.ts"

export const verify = command(
  "verify",
  { tenant: tenantFlag },
  Effect.fnUntraced(function*({ tenant }) {
    const tenant_id = yield* tenantOf(tenant)
    const answer = yield* call({ method: "GET", path: "/v1/admin/history/verify", query: { tenant_id } })
    const { budgets, entries, flaws, holds, tenant: name } = yield* read(Verification)(answer)
    yield* Output.print(answer, (paint) =>
      holds && budgets === 0 && entries === 0
        ? `There is nothing to verify: ${name} has no entries and no budgets. See cycles tenant list`
        : holds
        ? `${paint("green", "It holds")}: ${entries} entries of ${name} add up to its ${budgets} budgets`
        : `${paint("red", "It does not hold")}: of ${name}\n${
          flaws.map((flaw) => `  ${Output.plain(flaw)}`).join("\n")
        }`)
    if (!holds) return yield* new Told({ exitCode: exitCodes.Refused })
  })
).pipe(Command.withDescription("Prove that a tenant's entries add up to its balances; exits with 1 when they do not"))
