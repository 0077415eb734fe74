import { RuntimeApi } from "@effect-cycles/http"
import { assert, describe, it } from "@effect/vitest"
import * as OpenApi from "effect/http-api/OpenApi"
import { specification } from "../support.ts"
import type { Document } from "./compare.ts"
import { compare, factsOf } from "./compare.ts"
import * as differences from "./differences.ts"

const meta = { reason: "CYCLES_SPEC_DIR is not set" }

const ours = factsOf(OpenApi.fromApi(RuntimeApi.RuntimeApi) as unknown as Document)

describe.skipIf(specification === undefined)("The contract and the specification", { meta }, () => {
  it("agree on every operation of the runtime plane", () => {
    const theirs = factsOf(specification?.documents.runtime as Document)
    assert.isAbove(theirs.size, 1_000)
    const { unlisted, unused } = compare(ours, theirs, differences.runtime)
    assert.deepStrictEqual(unlisted, [])
    assert.deepStrictEqual(unused, [])
  })
})
