/**
 * One text for one JSON value, whatever order its keys were written in; what idempotency payloads are compared by.
 *
 * RFC 8785 in key order, strings and numbers, with one addition: integers given as `bigint` are written in full decimal
 * digits, since RFC 8785 itself knows only doubles. A number and a `bigint` of the same value give the same text.
 *
 * @internal
 */
import { sha256 } from "@noble/hashes/sha2.js"
import { preferred } from "./OwnCrypto.ts"

// Part of every supported runtime; declared here so that the core needs no platform's types.
declare class TextEncoder {
  encode(text: string): Uint8Array
  encodeInto(text: string, into: Uint8Array): { readonly written: number }
}

const plainString = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

const quote = (s: string): string => plainString.test(s) ? `"${s}"` : JSON.stringify(s)

/**
 * Members that are `undefined` are left out. Throws a `TypeError` for what JSON has no word for.
 */
export const stringify = (value: unknown): string => {
  switch (typeof value) {
    case "string":
      return quote(value)
    case "bigint":
      return value.toString()
    case "boolean":
      return value ? "true" : "false"
    case "number":
      if (!Number.isFinite(value)) throw new TypeError(`${value} is not a JSON number`)
      // Large numbers in full digits, as a bigint of their value has them.
      return Number.isInteger(value) && !Number.isSafeInteger(value) ? BigInt(value).toString() : JSON.stringify(value)
    case "object": {
      if (value === null) return "null"
      if (Array.isArray(value)) {
        return `[${value.map((item) => item === undefined ? "null" : stringify(item)).join(",")}]`
      }
      const prototype = Object.getPrototypeOf(value)
      if (prototype !== Object.prototype && prototype !== null) {
        throw new TypeError(`${Object.prototype.toString.call(value)} is not a JSON value`)
      }
      let out = ""
      for (const key of Object.keys(value).sort()) {
        const member: unknown = (value as Record<string, unknown>)[key]
        if (member !== undefined) out += `${out === "" ? "" : ","}${quote(key)}:${stringify(member)}`
      }
      return `{${out}}`
    }
    default:
      throw new TypeError(`a ${typeof value} is not a JSON value`)
  }
}

const hexDigits = Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0))
const codes = Array.from({ length: 64 }, () => 0)

// In one piece: a string put together two digits at a time is kept as a tree of its pieces, ten times its size.
const toHex = (bytes: Uint8Array): string => {
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    codes[2 * i] = hexDigits[byte >> 4]!
    codes[2 * i + 1] = hexDigits[byte & 15]!
  }
  return String.fromCharCode.apply(undefined, codes)
}

const encoder = new TextEncoder()
const scratch = new Uint8Array(4_096)

/** The bytes of a text, in a shared buffer where they fit: good until the next call. */
const encode = (text: string): Uint8Array =>
  text.length * 3 <= scratch.length
    ? scratch.subarray(0, encoder.encodeInto(text, scratch).written)
    : encoder.encode(text)

/** The SHA-256 of a text, in hex. */
export type Hash = (text: string) => string

/** One that every runtime has. */
export const portable: Hash = (text) => toHex(sha256(encode(text)))

/** The runtime's own, where it has one: it takes a third of the time. */
export const fastest = (): Hash =>
  preferred<Hash>(
    portable,
    ({ hash }) => hash === undefined ? undefined : (text) => hash("sha256", text),
    (own) => own("é") === portable("é")
  )

let hash: Hash | undefined

/**
 * The SHA-256 of the canonical text, in hex: what is kept of a payload to recognise it again.
 */
export const digest = (value: unknown): string => (hash ??= fastest())(stringify(value))
