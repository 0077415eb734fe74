/**
 * Whether a server lives, and whether it should be sent requests.
 *
 * @since 0.1.0
 */
import * as WireJson from "@effect-cycles/http/WireJson"
import type * as LedgerStore from "effect-cycles/ledger/LedgerStore"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"

/**
 * What health depends on.
 *
 * - `store`: what has to answer
 * - `isDraining`: whether the server is about to end
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly store: LedgerStore.Operations
  readonly isDraining: () => boolean
}

const PATIENCE = Duration.seconds(2)
/** However often anyone asks, the store is asked no more often than this. */
const KEPT_FOR = Duration.seconds(1)

const reply = (status: 200 | 503, body: { readonly [name: string]: string }) =>
  HttpServerResponse.text(WireJson.stringify(body), {
    status,
    contentType: "application/json",
    headers: { "cache-control": "no-store" }
  })

const live = reply(200, { status: "UP" })
const ready = reply(200, { status: "UP", store: "UP" })
const draining = reply(503, { status: "OUT_OF_SERVICE", reason: "the server is shutting down" })
const unanswered = reply(503, { status: "DOWN", store: "DOWN", reason: "the store does not answer" })

/**
 * The routes of health: `/health/live` says that the process answers, `/health/ready` that its store does too and that it is not
 * about to end. The paths that clients of the protocol ask for (`/actuator/health`, `/actuator/health/liveness`,
 * `/actuator/health/readiness`) say the same. Nobody has to authenticate.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = ({ isDraining, store }: Options): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  Layer.unwrap(Effect.gen(function*() {
    const answers = yield* Effect.cachedWithTTL(
      store.tenants("", 1).pipe(
        Effect.timeout(PATIENCE),
        Effect.as(true),
        Effect.catchCause((cause) => Effect.as(Effect.logWarning("The store does not answer", cause), false))
      ),
      KEPT_FOR
    )
    const readiness = Effect.suspend(() =>
      isDraining()
        ? Effect.succeed(draining)
        : Effect.map(answers, (does) => does ? ready : unanswered)
    )
    return Layer.mergeAll(
      HttpRouter.add("GET", "/health/live", live),
      HttpRouter.add("GET", "/health/ready", readiness),
      HttpRouter.add("GET", "/actuator/health", readiness),
      HttpRouter.add("GET", "/actuator/health/liveness", live),
      HttpRouter.add("GET", "/actuator/health/readiness", readiness)
    )
  }))
