/**
 * The command `cycles` and all below it.
 *
 * @internal
 */
import * as Command from "effect/cli/Command"
import { audit } from "./audit.ts"
import { balances } from "./balances.ts"
import { budget } from "./budget.ts"
import { cost } from "./cost.ts"
import { events } from "./events.ts"
import { explain } from "./explain.ts"
import { init } from "./init.ts"
import { key } from "./key.ts"
import { mcp } from "./mcp.ts"
import { policy } from "./policy.ts"
import { reservations } from "./reservations.ts"
import { serve } from "./serve.ts"
import { tenant } from "./tenant.ts"
import { verify } from "./verify.ts"
import { watch } from "./watch.ts"

export const cycles = Command.make("cycles").pipe(
  Command.withDescription("Budget and action authority for AI agents"),
  Command.withSubcommands([
    serve,
    init,
    mcp,
    { group: "Look", commands: [balances, watch, cost, explain, reservations, events, audit, verify] },
    { group: "Govern", commands: [tenant, key, budget, policy] }
  ])
)
