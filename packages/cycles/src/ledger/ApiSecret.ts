/**
 * Secrets of API keys: making one, and telling whether one is right without keeping any.
 *
 * A secret reads `cyc_live_<24 hex digits>_<64 hex digits>`. The first part is public and names the key; the second is 256 random
 * bits. What is kept is the HMAC-SHA-256 of the whole under a pepper that only the server knows, so that a stolen table opens
 * nothing. Bits that are random need no slow hash.
 *
 * @internal
 */
import { hmac } from "@noble/hashes/hmac.js"
import { sha256 } from "@noble/hashes/sha2.js"
import * as Redacted from "effect/Redacted"
import { preferred } from "./OwnCrypto.ts"

// Part of every supported runtime; declared here so that the core needs no platform's types.
declare const crypto: { readonly getRandomValues: (array: Uint8Array) => Uint8Array }
declare class TextEncoder {
  encode(text: string): Uint8Array
}

const encoder = new TextEncoder()
const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
const random = (bytes: number): string => hex(crypto.getRandomValues(new Uint8Array(bytes)))

/** A pepper as bytes; the newest signs, each of them is good for what it has signed. */
export type Peppers = readonly [newest: Redacted.Redacted<string>, ...older: ReadonlyArray<Redacted.Redacted<string>>]

/** Shorter ones could be guessed. */
export const MIN_PEPPER_LENGTH = 32

/** The HMAC-SHA-256 of a text, in hex. */
export type Sign = (pepper: string, text: string) => string

/** One that every runtime has. */
export const portable: Sign = (pepper, text) => hex(hmac(sha256, encoder.encode(pepper), encoder.encode(text)))

/** The runtime's own, where it has one: it takes a quarter of the time, which is each request's. */
export const fastest = (): Sign =>
  preferred<Sign>(
    portable,
    ({ createHmac }) =>
      createHmac === undefined ? undefined : (pepper, text) => createHmac("sha256", pepper).update(text).digest("hex"),
    (own) => own("pépper", "é") === portable("pépper", "é")
  )

let signer: Sign | undefined

const sign = (pepper: Redacted.Redacted<string>, secret: string): string =>
  (signer ??= fastest())(Redacted.value(pepper), secret)

/** What a new key is made of; the secret is not to be had again. */
export interface Made {
  readonly id: string
  readonly prefix: string
  readonly hash: string
  readonly secret: Redacted.Redacted<string>
}

export const make = (peppers: Peppers): Made => {
  const name = random(12)
  const prefix = `cyc_live_${name}`
  const secret = `${prefix}_${random(32)}`
  return {
    id: `key_${name}`,
    prefix,
    hash: sign(peppers[0], secret),
    secret: Redacted.make(secret, { label: "api key" })
  }
}

const form = /^cyc_live_([0-9a-f]{24})_[0-9a-f]{64}$/

/** The id of the key a secret is of, if it has the form of one. */
export const idOf = (secret: Redacted.Redacted<string>): string | undefined => {
  const name = form.exec(Redacted.value(secret))?.[1]
  return name === undefined ? undefined : `key_${name}`
}

/** A key nobody can have: compared with when there is none, so that the answer takes as long. */
const nobody = "0".repeat(64)

/** Compares with every pepper's HMAC, every digit of it, whatever the outcome. */
export const isRight = (peppers: Peppers, secret: Redacted.Redacted<string>, hash: string | undefined): boolean => {
  const expected = hash ?? nobody
  let right = 0
  for (const pepper of peppers) {
    const actual = sign(pepper, Redacted.value(secret))
    let difference = actual.length ^ expected.length
    for (let i = 0; i < actual.length; i++) difference |= actual.charCodeAt(i) ^ expected.charCodeAt(i)
    right |= difference === 0 ? 1 : 0
  }
  return right === 1 && hash !== undefined
}
