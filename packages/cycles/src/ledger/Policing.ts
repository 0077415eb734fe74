/**
 * Requests about policies made into commands, and what they are audited as.
 *
 * @internal
 */
import * as Result from "effect/Result"
import type { Asked } from "./Budgeting.ts"
import { recordKey } from "./Model.ts"
import type { PolicyChange, PolicyOptions } from "./PolicyShape.ts"
import * as PolicyShape from "./PolicyShape.ts"
import type { Cause, Deed } from "./rules/Command.ts"
import * as TimeOrderedId from "./TimeOrderedId.ts"

const about = (cause: Cause, operation: string, id: string, details: Deed["details"]): Cause => ({
  ...cause,
  deed: { operation, resourceType: "policy", resourceId: id, details: { policy_id: id, ...details } }
})

export const create = (base: Cause, policy: PolicyOptions, now: number): Asked => {
  const id = `pol_${TimeOrderedId.make(now)}`
  const cause = about(base, "createPolicy", id, { name: policy.name, scope_pattern: policy.scopePattern })
  return {
    cause,
    command: Result.map(
      PolicyShape.make(base.tenant, id, policy),
      (row) => ({ _tag: "CreatePolicy", cause, policy: row })
    )
  }
}

export const update = (base: Cause, id: string, change: PolicyChange): Asked => {
  const cause = about(base, "updatePolicy", id, {})
  return { cause, command: Result.succeed({ _tag: "UpdatePolicy", cause, id, change }) }
}

export const remove = (base: Cause, id: string, now: number): Asked => {
  const cause = about(base, "deletePolicy", id, {})
  // The key is the command's own: when the answer of its transaction is lost, it is run again and finds what it did.
  const record = recordKey(base.tenant, "deletePolicy", TimeOrderedId.make(now))
  return { cause, command: Result.succeed({ _tag: "DeletePolicy", cause, record, digest: id, id }) }
}
