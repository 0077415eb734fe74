/**
 * What is known of the request at hand while it is answered. The gate makes one per request; whoever finds something out writes it
 * down.
 *
 * @internal
 */
import * as Context from "effect/Context"

export interface Exchange {
  /** What is asked for, in the specification's words, such as `createReservation`. */
  readonly operation: string
  /** Where it comes from, as far as that can be known. */
  readonly address: string | undefined
  tenant: string | undefined
  keyId: string | undefined
  /** How many more requests the key may make now, and when it may make as many as ever, in Unix milliseconds. */
  remaining: number | undefined
  resetAtMs: number | undefined
}

export const make = (operation: string, address: string | undefined): Exchange => ({
  operation,
  address,
  tenant: undefined,
  keyId: undefined,
  remaining: undefined,
  resetAtMs: undefined
})

/** That of nobody: of a request that did not come through a gate. */
export const Current = Context.Reference<Exchange>("@effect-cycles/server/Exchange", {
  defaultValue: () => make("unknown", undefined)
})
