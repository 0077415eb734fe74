/** Replies compared with what they must be, to the key: what is not expected must not be there, and nothing is `null`. */
import { assert } from "@effect/vitest"

/** A value that is not known beforehand, but what it must be like. */
export class Like {
  readonly what: string
  readonly test: (value: unknown) => boolean
  constructor(what: string, test: (value: unknown) => boolean) {
    this.what = what
    this.test = test
  }
}

export const text = new Like("a text that is not empty", (value) => typeof value === "string" && value !== "")
export const integer = new Like("an integer", (value) => Number.isSafeInteger(value))
export const hex32 = new Like("32 hex digits", (value) => typeof value === "string" && /^[0-9a-f]{32}$/.test(value))

export const startingWith = (start: string): Like =>
  new Like(`a text that begins with "${start}"`, (value) => typeof value === "string" && value.startsWith(start))

export const between = (low: number, high: number): Like =>
  new Like(`between ${low} and ${high}`, (value) => typeof value === "number" && low <= value && value <= high)

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Asserts that `found` is what is expected, and has nothing beside it. */
export const exactly = (found: unknown, expected: unknown, where = "body"): void => {
  if (expected instanceof Like) {
    assert.isTrue(expected.test(found), `${where} is ${JSON.stringify(found)}, and not ${expected.what}`)
  } else if (Array.isArray(expected)) {
    assert.isTrue(Array.isArray(found), `${where} is not an array`)
    const list = Array.isArray(found) ? found : []
    assert.strictEqual(list.length, expected.length, `the length of ${where}`)
    for (const [i, member] of expected.entries()) exactly(list[i], member, `${where}.${i}`)
  } else if (isRecord(expected)) {
    assert.isTrue(isRecord(found), `${where} is ${JSON.stringify(found)}, and not an object`)
    const record = isRecord(found) ? found : {}
    assert.deepStrictEqual(Object.keys(record).sort(), Object.keys(expected).sort(), `the members of ${where}`)
    for (const [name, member] of Object.entries(expected)) exactly(record[name], member, `${where}.${name}`)
  } else assert.strictEqual(found, expected, where)
}
