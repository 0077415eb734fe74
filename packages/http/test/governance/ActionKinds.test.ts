import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { admin, layer, outcome, send } from "./support.observing.ts"

const folder = process.env["CYCLES_SPEC_DIR"]

describe("Action kinds", () => {
  it.live("are listed for anyone, a page at a time, and known by an etag", () =>
    Effect.gen(function*() {
      const client = yield* admin
      const kinds: Array<string> = []
      let cursor: string | undefined
      do {
        const page = yield* client.listActionKinds({ limit: 25, ...(cursor === undefined ? {} : { cursor }) })
        kinds.push(...page.kinds.map(({ kind }) => kind))
        cursor = page.next_cursor
        assert.strictEqual(page.has_more, cursor !== undefined)
      } while (cursor !== undefined)
      assert.lengthOf(kinds, 62)
      assert.strictEqual(new Set(kinds).size, 62)
      const open = yield* send("GET", "/v1/action-kinds?risk_class=high_risk&limit=1", { headers: {} })
      assert.deepStrictEqual(Object.keys(open.body), ["version", "kinds", "next_cursor", "has_more"])
      assert.deepStrictEqual(Object.keys(open.body["kinds"][0]), [
        "kind",
        "risk_class",
        "policy_key_spec",
        "description",
        "mcp_tool_prefixes"
      ])
      const etag = open.headers.get("etag") ?? ""
      const path = "/v1/action-kinds?risk_class=high_risk&limit=1"
      const known = yield* send("GET", path, { headers: { "if-none-match": `"x", W/${etag}` } })
      assert.deepStrictEqual([known.status, known.text, known.headers.get("etag")], [304, "", etag])
      assert.isNotNull(known.headers.get("x-request-id"))
      const other = yield* send("GET", "/v1/action-kinds?limit=1", { headers: { "if-none-match": etag } })
      assert.strictEqual(other.status, 200)
    }).pipe(Effect.provide(layer)))

  it.live("are read by their exact name", () =>
    Effect.gen(function*() {
      const client = yield* admin
      assert.deepInclude(yield* client.getActionKind("llm.completion"), {
        kind: "llm.completion",
        risk_class: "side_effect"
      })
      for (const kind of ["llm", "LLM.completion", "custom.acme.x", "constructor"]) {
        assert.strictEqual(outcome(yield* send("GET", `/v1/action-kinds/${kind}`, { headers: {} })), "404 NOT_FOUND")
      }
      for (const query of ["risk_class=none", "limit=0", "limit=101", "deprecated=1", "cursor=nonsense"]) {
        const answer = yield* send("GET", `/v1/action-kinds?${query}`, { headers: {} })
        assert.strictEqual(outcome(answer), "400 INVALID_REQUEST", query)
      }
    }).pipe(Effect.provide(layer)))
})

describe.skipIf(folder === undefined)("Action kinds", { meta: { reason: "CYCLES_SPEC_DIR is not set" } }, () => {
  it.live("are those of the specification", () =>
    Effect.gen(function*() {
      const text = readFileSync(`${folder}/cycles-action-kinds-v0.1.26.yaml`, "utf8")
      const registry = text.slice(text.indexOf("\nx-action-kind-registry:"))
      const expected = Array.from(
        registry.matchAll(/- kind: (\S+)\n\s+risk_class: (\S+)/g),
        ([, kind, risk]) => `${kind} ${risk}`
      )
      const client = yield* admin
      const { kinds, version } = yield* client.listActionKinds({ limit: 100, deprecated: true })
      assert.deepStrictEqual(kinds.map(({ kind, risk_class }) => `${kind} ${risk_class}`), expected)
      assert.include(registry, `version: "${version}"`)
    }).pipe(Effect.provide(layer)))
})
