import { GovernanceConformance } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import { LedgerStoreMemory, Permission, ScopeFilter } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

GovernanceConformance.suite("a store in memory", LedgerStoreMemory.layer)

const acme = "tenant:acme"

describe("a scope filter", () => {
  it("names levels, each of which must be there by one of its names", () => {
    const path = `${acme}/workspace:eng/agent:writer`
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string, boolean]> = [
      [[], path, true],
      [["workspace:eng"], path, true],
      [["workspace:eng", "agent:*"], path, true],
      [["workspace:eng", "workspace:ops"], path, true],
      [["workspace:ops", "agent:*"], path, false],
      [["workspace:eng", "agent:*"], `${acme}/workspace:eng`, false],
      [["workspace:eng"], acme, false],
      [["workspace:en"], path, false],
      [["workspace:ENG"], path, false],
      [["tenant:acme"], path, true],
      [["tenant:other"], path, false],
      [["toolset:*"], path, false],
      [["team:x"], path, false]
    ]
    for (const [filter, at, expected] of cases) {
      assert.strictEqual(ScopeFilter.allows(filter, at), expected, `${filter.join()} at ${at}`)
    }
    assert.isUndefined(ScopeFilter.flaw(["workspace:eng", "agent:*"]))
    for (const wrong of ["eng", "workspace:", "workspace:a/b", "workspace:e*", "team:x", "*"]) {
      assert.isDefined(ScopeFilter.flaw([wrong]), wrong)
    }
  })

  it.effect.prop(
    "narrows a query to what it lets pass, and no further",
    [
      Schema.Array(Schema.Literals(["workspace:a", "workspace:b", "workspace:*", "agent:a", "agent:*"])),
      Schema.Struct({
        workspace: Schema.optionalKey(Schema.Literals(["a", "b"])),
        agent: Schema.optionalKey(Schema.Literals(["a", "b"]))
      })
    ],
    ([filter, query]) =>
      Effect.sync(() => {
        const narrowed = ScopeFilter.narrow(filter, query)
        const matches = (path: string, of: { readonly workspace?: string; readonly agent?: string }) =>
          (of.workspace === undefined || path.includes(`/workspace:${of.workspace}`)) &&
          (of.agent === undefined || path.includes(`/agent:${of.agent}`))
        for (const workspace of ["", "/workspace:a", "/workspace:b"]) {
          for (const agent of ["", "/agent:a", "/agent:b"]) {
            const path = `${acme}${workspace}${agent}`
            const passes = matches(path, query) && ScopeFilter.allows(filter, path)
            assert.strictEqual(matches(path, narrowed) && ScopeFilter.allows(filter, path), passes)
          }
        }
      })
  )
})

describe("permissions", () => {
  it("cover each other as the specification says", () => {
    assert.strictEqual(new Set(Permission.permissions).size, 27)
    const admin = new Set(["admin:write"])
    for (const needed of Permission.permissions) {
      assert.isTrue(Permission.covers(new Set([needed]), needed))
      assert.isFalse(Permission.covers(new Set(), needed))
      assert.strictEqual(Permission.covers(admin, needed), needed.endsWith(":write"), needed)
      assert.strictEqual(Permission.covers(new Set(["admin:read"]), needed), needed.endsWith(":read"), needed)
    }
    assert.isTrue(Permission.covers(new Set(["admin:budgets:write"]), "budgets:write"))
    assert.isFalse(Permission.covers(new Set(["budgets:write"]), "admin:budgets:write"))
    assert.isFalse(Permission.covers(new Set(["admin:budgets:write"]), "policies:write"))
  })
})
