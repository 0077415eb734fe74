/**
 * Keeps an address that fails to authenticate again and again from trying on.
 *
 * A key that was good from that address before goes on working: many clients may share an address, such as that of a proxy, and
 * one of them must not keep the others from settling what they hold.
 *
 * @since 0.1.0
 */
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { createHash } from "node:crypto"
import * as RateLimit from "./RateLimit.ts"

/**
 * - `failuresPerMinute`: how often an address may fail in a minute
 * - `maxAddresses`: how many addresses, and how many keys that were good, are remembered at most; 10,000 when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly failuresPerMinute: number
  readonly maxAddresses?: number | undefined
}

/**
 * Remembers who failed, and who did not.
 *
 * @category models
 * @since 0.1.0
 */
export interface AuthThrottle {
  /** How long somebody has to wait, in milliseconds, before the key is looked at; 0 where it may be looked at now. */
  readonly waitMs: (address: string, key: string, nowMs: number) => number
  /** The key was not good. Tells whether this was the one failure too many. */
  readonly failed: (address: string, nowMs: number) => boolean
  /** The key was good. */
  readonly succeeded: (address: string, key: string) => void
}

/**
 * What an address counts as: an IPv6 network of 64 bits is one, since whoever has one of its addresses has all of them.
 *
 * @category conversions
 * @since 0.1.0
 */
export const networkOf = (address: string): string => {
  if (!address.includes(":")) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const parsed = NetAddress.ipv6FromString(address.split("%")[0] ?? "")
  return Result.isFailure(parsed)
    ? address
    : NetAddress.ipv6ToSegments(parsed.success).slice(0, 4).map((segment) => segment.toString(16)).join(":")
}

/**
 * What of a key may be remembered: the public part of an API key's secret. A key of another form has no such part; its digest tells
 * it from every other.
 */
const nameOf = (key: string): string =>
  /^cyc_live_[0-9a-f]{24}_/.exec(key)?.[0] ?? createHash("sha256").update(key).digest("base64")

/**
 * A throttle that has seen nobody yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ failuresPerMinute, maxAddresses = 10_000 }: Options): AuthThrottle => {
  const failures = RateLimit.make({
    burst: failuresPerMinute,
    refillPerSecond: failuresPerMinute / 60,
    maxNames: maxAddresses
  })
  const good = new Set<string>()
  return {
    waitMs: (address, key, nowMs) => {
      const network = networkOf(address)
      const { retryAfterMs } = failures.look(network, nowMs)
      return retryAfterMs > 0 && good.has(`${network} ${nameOf(key)}`) ? 0 : retryAfterMs
    },
    failed: (address, nowMs) => {
      const { isAllowed, remaining } = failures.take(networkOf(address), nowMs)
      return isAllowed && remaining === 0
    },
    succeeded: (address, key) => {
      const name = `${networkOf(address)} ${nameOf(key)}`
      if (good.has(name)) return
      if (good.size >= maxAddresses) {
        for (const oldest of good) {
          good.delete(oldest)
          break
        }
      }
      good.add(name)
    }
  }
}
