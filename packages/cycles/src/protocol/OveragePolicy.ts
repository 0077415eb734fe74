/**
 * What happens when more was used than was reserved.
 *
 * Specification: `cycles-protocol-v0.yaml`, schema `CommitOveragePolicy`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What the authority does with a commit above its reservation, or an event above what remains.
 *
 * - `REJECT`: refuse it; the reservation stays as it was. The action has already happened, so this leaves a gap in the books, which a
 *   guarded call keeps small by charging the hold instead. Reserve an upper bound when you choose this
 * - `ALLOW_IF_AVAILABLE` (default): charge what is there, never more; where it fell short the budget takes no new
 *   reservations until someone reconciles it
 * - `ALLOW_WITH_OVERDRAFT`: charge it all; what was not there becomes debt, up to the budget's overdraft limit
 *
 * @category models
 * @since 0.1.0
 */
export const OveragePolicy = Schema.Literals(["REJECT", "ALLOW_IF_AVAILABLE", "ALLOW_WITH_OVERDRAFT"])

/**
 * @category models
 * @since 0.1.0
 */
export type OveragePolicy = typeof OveragePolicy.Type
