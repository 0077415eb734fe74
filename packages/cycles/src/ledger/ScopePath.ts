/**
 * Canonical scope paths: `tenant:acme/workspace:prod/agent:writer`.
 *
 * Only the levels a subject names appear; gaps are skipped, never filled. Values are compared exactly, case included, so two
 * tenants can never share a path.
 *
 * Specification: `cycles-protocol-v0.yaml`, section SCOPE DERIVATION and schema `Subject`, CHARSET.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { Level, Subject } from "../protocol/Subject.ts"
import { levels } from "../protocol/Subject.ts"
import type { Refusal } from "./Refusal.ts"

const value = /^[a-zA-Z0-9_.-]{1,128}$/

/**
 * Every scope a subject spends from, widest first. The subject's tenant is `tenant` where it names none.
 *
 * @category combinators
 * @since 0.1.0
 */
export const derive = (tenant: string, subject: Subject): Result.Result<ReadonlyArray<string>, Refusal> => {
  const scopes: Array<string> = []
  let path = ""
  for (const level of levels) {
    const at = level === "tenant" ? subject.tenant ?? tenant : subject[level]
    if (at === undefined) continue
    if (!value.test(at)) {
      return Result.fail({
        code: "INVALID_REQUEST",
        field: `subject.${level}`,
        reason: "must be 1 to 128 letters, digits, '_', '.' or '-'"
      })
    }
    path = path === "" ? `${level}:${at}` : `${path}/${level}:${at}`
    scopes.push(path)
  }
  if (subject.tenant !== undefined && subject.tenant !== tenant) {
    return Result.fail({ code: "FORBIDDEN", reason: "the subject belongs to another tenant" })
  }
  return Result.succeed(scopes)
}

/**
 * @category models
 * @since 0.1.0
 */
export type Derive = typeof derive

const REMEMBERED_PATHS = 1_000

/**
 * A {@link derive} that gives the same texts for the same path, which every row that names them then shares.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sharing = (): Derive => {
  const paths = new Map<string, ReadonlyArray<string>>()
  return (tenant, subject) => {
    const derived = derive(tenant, subject)
    if (Result.isFailure(derived)) return derived
    const path = derived.success[derived.success.length - 1] ?? ""
    const known = paths.get(path)
    if (known !== undefined) return Result.succeed(known)
    if (paths.size === REMEMBERED_PATHS) paths.clear()
    paths.set(path, derived.success)
    return derived
  }
}

/**
 * Checks that a path is canonical and starts at its tenant, and returns its segments by level.
 *
 * @category combinators
 * @since 0.1.0
 */
export const parse = (tenant: string, scope: string): Result.Result<Subject, Refusal> => {
  const invalid = (reason: string) => Result.fail<Refusal>({ code: "INVALID_REQUEST", field: "scope", reason })
  const subject: { -readonly [L in Level]?: string } = {}
  let last = -1
  for (const segment of scope.split("/")) {
    const colon = segment.indexOf(":")
    const at = levels.findIndex((level) => level === segment.slice(0, colon))
    const level = levels[at]
    if (colon < 0 || level === undefined) {
      return invalid(`"${segment}" is not one of ${levels.map((l) => `${l}:…`).join(", ")}`)
    }
    if (at <= last) return invalid(`levels must be in the order ${levels.join(", ")}, each at most once`)
    if (!value.test(segment.slice(colon + 1))) {
      return invalid(`the ${level} must be 1 to 128 letters, digits, '_', '.' or '-'`)
    }
    last = at
    subject[level] = segment.slice(colon + 1)
  }
  if (subject.tenant === undefined) return invalid("a scope starts at its tenant, as in tenant:acme/agent:writer")
  return subject.tenant === tenant
    ? Result.succeed(subject)
    : Result.fail({ code: "FORBIDDEN", reason: "the scope belongs to another tenant" })
}
