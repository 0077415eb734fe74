import { assert, describe, it } from "@effect/vitest"
import * as ScopePattern from "effect-cycles/ledger/ScopePattern"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"

const levels = ["workspace", "app", "workflow", "agent", "toolset"]

/** A path of a tenant and some of the levels below it, in order. */
const scopes = Arbitrary.map(
  Arbitrary.schema(Schema.Struct({
    tenant: Schema.Literals(["acme", "beta"]),
    below: Schema.Tuple(levels.map(() => Schema.Literals(["", "a", "b"])))
  })),
  ({ below, tenant }) =>
    [`tenant:${tenant}`, ...below.flatMap((name, i) => name === "" ? [] : [`${levels[i]}:${name}`])].join("/")
)

/** A pattern: some segments of a path made into wildcards, and perhaps what comes before and after cut off. */
const patterns = Arbitrary.map(
  Arbitrary.all({
    scope: scopes,
    wild: Arbitrary.schema(Schema.Tuple([0, 1, 2, 3, 4, 5].map(() => Schema.Literals(["as is", "any name", "*"])))),
    from: Arbitrary.schema(Schema.Literals([0, 1, 2])),
    below: Arbitrary.schema(Schema.Boolean)
  }),
  ({ below, from, scope, wild }) =>
    [
      ...scope.split("/").slice(from).map((segment, i) =>
        wild[i] === "*" ? "*" : wild[i] === "any name" ? segment.replace(/:.*/, ":*") : segment
      ),
      ...(below ? ["*"] : [])
    ].join("/") || "*"
)

/** The same question put to a regular expression. */
const byExpression = (pattern: string, scope: string): boolean => {
  const anchored = pattern.startsWith("tenant:") || pattern.startsWith("*") ? pattern : `*/${pattern}`
  const source = anchored.split("/").map((segment) =>
    segment === "*" ? "[^/]+(/[^/]+)*" : segment.replaceAll(".", "\\.").replace("*", "[^/]+")
  ).join("/")
  return new RegExp(`^${source}${pattern.startsWith("tenant:") ? "" : "(/.+)?"}$`).test(scope)
}

describe("a scope pattern", () => {
  it("is an exact scope, what is below it, or whatever has some segments, wherever they are", () => {
    const cases: ReadonlyArray<readonly [pattern: string, scope: string, matches: boolean]> = [
      ["tenant:acme", "tenant:acme", true],
      ["tenant:acme", "tenant:acme/agent:bot", false],
      ["tenant:acme", "tenant:acme-2", false],
      ["tenant:acme/*", "tenant:acme/agent:bot", true],
      ["tenant:acme/*", "tenant:acme/workspace:prod/agent:bot/toolset:web", true],
      ["tenant:acme/*", "tenant:acme", false],
      ["tenant:acme/*", "tenant:acme-2/agent:bot", false],
      ["tenant:acme/workspace:eng/*", "tenant:acme/workspace:eng/agent:bot", true],
      ["tenant:acme/workspace:eng/*", "tenant:acme/workspace:engine/agent:bot", false],
      ["agent:*", "tenant:acme/agent:bot", true],
      ["agent:*", "tenant:acme/workspace:prod/agent:bot", true],
      ["agent:*", "tenant:acme/workspace:prod/agent:bot/toolset:web", true],
      ["agent:bot", "tenant:acme/workspace:prod/agent:bot/toolset:web", true],
      ["agent:bot", "tenant:acme/workspace:prod/agent:bot-2/toolset:web", false],
      ["agent:*/*", "tenant:acme/workspace:prod/agent:bot/toolset:web", true],
      ["agent:*/*", "tenant:acme/workspace:prod/agent:bot", false],
      ["workspace:prod/agent:bot", "tenant:acme/workspace:prod/app:chat/agent:bot", false],
      ["workspace:prod", "tenant:acme/workspace:prod/app:chat/agent:bot", true],
      ["agent:*", "tenant:acme/workflow:agent", false],
      ["*/agent:summarizer", "tenant:acme/workspace:prod/agent:summarizer", true],
      ["*/agent:summarizer", "tenant:acme/agent:summarizer", true],
      ["*/agent:summarizer", "tenant:acme/agent:summarizer/toolset:web", true],
      ["agent:Bot", "tenant:acme/agent:bot", false],
      ["tenant:*", "tenant:acme", true],
      ["tenant:*", "tenant:acme/agent:bot", false],
      ["tenant:acme/workspace:*/agent:bot", "tenant:acme/workspace:dev/agent:bot", true],
      ["tenant:acme/workspace:*/agent:bot", "tenant:acme/workspace:dev/agent:bot/toolset:web", false],
      ["tenant:acme/workspace:*/agent:bot", "tenant:acme/agent:bot", false],
      ["tenant:acme/*/agent:bot", "tenant:acme/workspace:dev/app:chat/agent:bot", true],
      ["*", "tenant:acme", true],
      ["*", "tenant:acme/agent:bot", true]
    ]
    for (const [pattern, scope, matches] of cases) {
      assert.strictEqual(ScopePattern.matches(pattern, scope), matches, `${pattern} and ${scope}`)
    }
  })

  it.prop("means the same as a regular expression", [patterns, scopes], ([pattern, scope]) => {
    assert.strictEqual(ScopePattern.matches(pattern, scope), byExpression(pattern, scope), `${pattern} and ${scope}`)
  }, { arbitrary: { runs: 2_000 } })

  it.prop("stands for its own scope, and with /* for exactly what is below it", [scopes, scopes], ([one, other]) => {
    assert.isTrue(ScopePattern.matches(one, one))
    assert.strictEqual(ScopePattern.matches(one, other), one === other)
    assert.strictEqual(ScopePattern.matches(`${one}/*`, other), other.startsWith(`${one}/`))
  }, { arbitrary: { runs: 1_000 } })

  it("must be of its tenant, in order, and well formed", () => {
    const flaw = (pattern: string) => ScopePattern.flaw("acme", pattern)
    const fine = [
      "tenant:acme",
      "tenant:acme/*",
      "agent:*",
      "*/agent:summarizer",
      "*",
      "tenant:*",
      "tenant:acme/*/agent:b"
    ]
    for (const pattern of fine) assert.isUndefined(flaw(pattern), pattern)
    const bad = [
      "",
      "/",
      "acme",
      "tenant:acme/",
      "tenant:",
      "tenant:acme/**",
      "tenant:acme/*/*",
      "team:a",
      "agent:a*",
      "agent:b/workspace:prod",
      "agent:b/agent:c",
      "tenant:acme/agent:a b",
      `agent:${"x".repeat(129)}`
    ]
    for (const pattern of bad) {
      assert.deepInclude(flaw(pattern), { code: "INVALID_REQUEST", field: "scopePattern" }, pattern)
    }
    assert.strictEqual(flaw("tenant:beta/*")?.code, "FORBIDDEN")
    assert.strictEqual(flaw("*/tenant:beta")?.code, "FORBIDDEN")
  })
})
