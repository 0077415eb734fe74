/**
 * Identifiers that sort by the time they were made: UUIDs of version 7 (RFC 9562). Rows written one after another then lie
 * side by side in an index.
 *
 * @internal
 */

// Web Crypto, which every supported runtime has; declared here so that the core needs no platform's types.
declare const crypto: { readonly getRandomValues: (array: Uint8Array) => Uint8Array }

const hex = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, "0"))

const pool = new Uint8Array(4_096)
let used = pool.length

/** A UUID v7 for a Unix time in milliseconds. */
export const make = (timeMs: number): string => {
  if (used + 10 > pool.length) {
    crypto.getRandomValues(pool)
    used = 0
  }
  const at = (i: number): string => hex[pool[used + i]!]!
  const time = Math.max(0, Math.trunc(timeMs)).toString(16).padStart(12, "0").slice(-12)
  const id = `${time.slice(0, 8)}-${time.slice(8)}-7${(pool[used]! & 0x0f).toString(16)}${
    at(1)
  }-${hex[(pool[used + 2]! & 0x3f) | 0x80]!}${at(3)}-${at(4)}${at(5)}${at(6)}${at(7)}${at(8)}${at(9)}`
  used += 10
  return id
}
