/**
 * The request and trace an operation belongs to, carried beside the requests and not inside them.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * What identifies one request: `requestId` is the authority's name for it, `traceId` (32 hex digits) the W3C trace it
 * belongs to. Both end up in errors and in the ledger's entries.
 *
 * @category models
 * @since 0.1.0
 */
export interface RequestContext {
  readonly requestId?: string | undefined
  readonly traceId?: string | undefined
}

/**
 * The request the current fiber is handling. Empty unless someone, usually an HTTP handler, provides it.
 *
 * @category references
 * @since 0.1.0
 */
export const RequestContext: Context.Reference<RequestContext> = Context.Reference<RequestContext>(
  "effect-cycles/protocol/RequestContext",
  { defaultValue: () => ({}) }
)

/**
 * What an authority at the end of a wire does where it is told to come back after a while: wait and ask again by itself, or
 * fail at once and leave the wait to its caller. Who writes the wait down, so that it outlives the process, wants the latter,
 * and so does who has no time to wait.
 *
 * @category references
 * @since 0.1.0
 */
export const Patience: Context.Reference<"wait" | "fail"> = Context.Reference<"wait" | "fail">(
  "effect-cycles/protocol/RequestContext/Patience",
  { defaultValue: () => "wait" }
)
