/**
 * Who sends a request: the checks around a key, on both planes.
 *
 * In this order: an address that failed too often is turned away without its key being looked at, the key is looked at, and what its
 * owner may ask for is counted. On the runtime plane whose key it was is remembered for a moment, since every operation there
 * reads the key in its own transaction: one that was revoked meanwhile is refused by that.
 *
 * @internal
 */
import type { Principal } from "@effect-cycles/http/RuntimeApi"
import type * as Governance from "effect-cycles/ledger/Governance"
import type * as Ledger from "effect-cycles/ledger/Ledger"
import type { Trouble } from "effect-cycles/protocol/CyclesError"
import { RateLimited, Unauthorized } from "effect-cycles/protocol/CyclesError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { hash } from "node:crypto"
import * as AuthThrottle from "../AuthThrottle.ts"
import type * as Metrics from "../Metrics.ts"
import * as RateLimit from "../RateLimit.ts"
import * as Secrets from "../Secrets.ts"
import * as Exchange from "./Exchange.ts"
import { isLimited } from "./Operations.ts"

export interface Options {
  readonly adminKey: Redacted.Redacted<string>
  readonly requestsPerSecond: number
  readonly authFailuresPerMinute: number
  readonly metrics: Metrics.Operations
  readonly ledger: Ledger.Operations
  readonly governance: Governance.Operations
}

export type KeyPrincipal = Effect.Success<ReturnType<Governance.Operations["authenticate"]>>

/** Whose key it is; not what it may do. */
type KeyOwner = Pick<KeyPrincipal, "tenant" | "actor" | "keyId">

export interface Authentication {
  /** For the runtime plane: whose key it is, and the authority that acts in their name. What the key may do is the ledger's to say. */
  readonly runtime: (key: Redacted.Redacted<string>) => Effect.Effect<Principal, Trouble>
  /** Whose API key it is. */
  readonly principal: (key: Redacted.Redacted<string>) => Effect.Effect<KeyPrincipal, Trouble>
  /** Whether it is the operator's key. */
  readonly operator: (key: Redacted.Redacted<string>) => Effect.Effect<Governance.Operator, Trouble>
}

/** For how long it is remembered whose a key is, and of how many keys at most. */
const REMEMBER_MS = 1_000
const MAX_REMEMBERED = 10_000

interface Remembered {
  readonly owner: KeyOwner
  readonly principal: Principal
  readonly sinceMs: number
}

export const make = (options: Options): Authentication => {
  const { governance, ledger, metrics, requestsPerSecond } = options
  const throttle = options.authFailuresPerMinute > 0
    ? AuthThrottle.make({ failuresPerMinute: options.authFailuresPerMinute })
    : undefined
  const rates = requestsPerSecond > 0
    ? RateLimit.make({ burst: requestsPerSecond, refillPerSecond: requestsPerSecond })
    : undefined
  const isAdminKey = Secrets.isRight(options.adminKey)

  /** Looks at a key, unless its address failed too often. */
  const throttled = <A, E extends Trouble>(
    key: Redacted.Redacted<string>,
    check: Effect.Effect<A, E>
  ): Effect.Effect<A, E | RateLimited> =>
    Effect.withFiber((fiber): Effect.Effect<A, E | RateLimited> => {
      const { address } = fiber.getRef(Exchange.Current)
      // What did not come over the network is not guessing.
      if (throttle === undefined || address === undefined) return check
      const nowMs = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
      const text = Redacted.value(key)
      const retryAfterMs = throttle.waitMs(address, text, nowMs)
      if (retryAfterMs > 0) {
        metrics.refused("throttled")
        return Effect.fail(
          new RateLimited({
            retryAfterMs,
            reason: "Too many requests with keys that are not good came from this address"
          })
        )
      }
      return Effect.tapError(
        Effect.map(check, (found) => {
          throttle.succeeded(address, text)
          return found
        }),
        (error) => {
          if (error._tag !== "Unauthorized") return Effect.void
          metrics.refused("bad_key")
          return throttle.failed(address, nowMs)
            ? Effect.logWarning(`${address} failed to authenticate too often; its requests are refused for a while`)
            : Effect.void
        }
      )
    })

  /** Counts the request of a key, and goes on with what was found of it. */
  const counted = <A>({ keyId, tenant }: KeyOwner, found: A): Effect.Effect<A, RateLimited> =>
    Effect.withFiber((fiber) => {
      const exchange = fiber.getRef(Exchange.Current)
      exchange.tenant = tenant
      exchange.keyId = keyId
      if (rates === undefined || !isLimited(exchange.operation)) return Effect.succeed(found)
      const nowMs = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
      const { isAllowed, remaining, resetAtMs, retryAfterMs } = rates.take(keyId, nowMs)
      exchange.remaining = remaining
      exchange.resetAtMs = resetAtMs
      if (isAllowed) return Effect.succeed(found)
      metrics.refused("rate_limited")
      return Effect.fail(
        new RateLimited({ retryAfterMs, reason: `The key may send ${requestsPerSecond} requests per second` })
      )
    })

  /** By the digest of their keys. */
  const remembered = new Map<string, Remembered>()

  const lookUp = (key: Redacted.Redacted<string>, digest: string, sinceMs: number) =>
    Effect.map(governance.authenticate(key), ({ actor, keyId, tenant }): Remembered => {
      const owner = { tenant, actor, keyId }
      const found = { owner, principal: { tenant, authority: metrics.observed(ledger.as(owner)) }, sinceMs }
      if (remembered.size >= MAX_REMEMBERED) remembered.clear()
      remembered.set(digest, found)
      return found
    })

  /** Whose key it is, from memory where it was right a moment ago. */
  const ownerOf = (key: Redacted.Redacted<string>): ReturnType<typeof lookUp> =>
    Effect.withFiber((fiber) => {
      const nowMs = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
      const digest = hash("sha256", Redacted.value(key))
      const found = remembered.get(digest)
      if (found !== undefined && nowMs >= found.sinceMs && nowMs < found.sinceMs + REMEMBER_MS) {
        return Effect.succeed(found)
      }
      remembered.delete(digest)
      return lookUp(key, digest, nowMs)
    })

  return {
    principal: (key) =>
      Effect.flatMap(throttled(key, governance.authenticate(key)), (principal) => counted(principal, principal)),
    runtime: (key) => Effect.flatMap(throttled(key, ownerOf(key)), ({ owner, principal }) => counted(owner, principal)),
    operator: (key) =>
      throttled(
        key,
        Effect.suspend(() =>
          isAdminKey(key)
            ? Effect.succeed({ actor: "admin" })
            : Effect.fail(new Unauthorized({ reason: "the admin key is not right" }))
        )
      )
  }
}
