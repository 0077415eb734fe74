/**
 * What a model is told beside an answer, in a line of its own: what to do about a denial, about caps, and where little is left.
 *
 * @internal
 */
import * as Amount from "effect-cycles/protocol/Amount"
import type { Balance } from "effect-cycles/protocol/Balance"
import type { Caps } from "effect-cycles/protocol/Caps"
import type { Decision } from "effect-cycles/protocol/Decision"

const hint = (text: string): string => `HINT: ${text}`

const wait = (ms: number | undefined): string => ms === undefined ? "" : ` Ask again in ${ms} ms at the earliest.`

/** What to do where something is denied. */
export const denied = (reason: string | undefined, retryAfterMs: number | undefined): string =>
  hint(
    `denied${reason === undefined ? "" : ` (${reason})`}: do not do it. Ask for less, do something that costs less, ` +
      `or end here and tell who asked you.${wait(retryAfterMs)}`
  )

const capped = (caps: Caps | undefined): string => {
  const parts = [
    caps?.maxTokens === undefined ? undefined : `use ${caps.maxTokens} tokens at most`,
    caps?.maxStepsRemaining === undefined ? undefined : `take ${caps.maxStepsRemaining} more steps at most`,
    caps?.toolAllowlist === undefined || caps.toolAllowlist.length === 0
      ? undefined
      : `use no tools but ${caps.toolAllowlist.join(", ")}`,
    caps?.toolDenylist === undefined || caps.toolDenylist.length === 0
      ? undefined
      : `do not use ${caps.toolDenylist.join(", ")}`,
    caps?.cooldownMs === undefined || caps.cooldownMs === 0 ? undefined : `wait ${caps.cooldownMs} ms before it`
  ].filter((part) => part !== undefined)
  return hint(`allowed with caps: ${parts.length === 0 ? "see caps" : parts.join("; ")}.`)
}

/** Less than 15 of 100 is little. */
const isLow = ({ allocated, remaining }: Balance): boolean =>
  allocated !== undefined && allocated.amount > 0n && remaining.amount * 100n < allocated.amount * 15n

const low = ({ allocated, remaining, scopePath }: Balance): string =>
  hint(
    `less than 15 % is left on ${scopePath}: ${Amount.format(remaining)}` +
      `${
        allocated === undefined ? "" : ` of ${Amount.format(allocated)}`
      }. Choose what costs less, or ask for more budget.`
  )

/** What a reply gives reason to say. */
export const of = (reply: {
  readonly decision?: Decision
  readonly caps?: Caps
  readonly reasonCode?: string
  readonly retryAfterMs?: number
  readonly balances?: ReadonlyArray<Balance>
}): ReadonlyArray<string> => [
  ...(reply.decision === "DENY" ? [denied(reply.reasonCode, reply.retryAfterMs)] : []),
  ...(reply.decision === "ALLOW_WITH_CAPS" ? [capped(reply.caps)] : []),
  ...(reply.balances ?? []).filter(isLow).map(low)
]
