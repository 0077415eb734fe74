import { GovernanceApi, RuntimeApi } from "@effect-cycles/http"
import { assert, describe, it } from "@effect/vitest"
import * as OpenApi from "effect/http-api/OpenApi"
import { specification } from "../support.ts"
import type { Document } from "./compare.ts"
import { compare, factsOf } from "./compare.ts"
import { governance as ofGovernance, runtime as ofRuntime } from "./differences.ts"

const differences = { governance: ofGovernance, runtime: ofRuntime }

const meta = { reason: "CYCLES_SPEC_DIR is not set" }

const governance = OpenApi.fromApi(GovernanceApi.GovernanceApi)
const balances = OpenApi.fromApi(GovernanceApi.GovernanceBalancesApi)

const planes = {
  runtime: OpenApi.fromApi(RuntimeApi.RuntimeApi),
  governance: {
    ...governance,
    paths: { ...governance.paths, ...balances.paths },
    components: {
      ...governance.components,
      schemas: { ...governance.components.schemas, ...balances.components.schemas }
    }
  }
}

const listed = { runtime: differences.runtime, governance: differences.governance }

describe.skipIf(specification === undefined)("The contract and the specification", { meta }, () => {
  for (const plane of ["runtime", "governance"] as const) {
    it(`agree on every operation of the ${plane} plane, but for the differences that are listed`, () => {
      // Both are OpenAPI documents.
      const ours = factsOf(planes[plane] as unknown as Document)
      const theirs = factsOf(specification?.documents[plane] as Document)
      assert.isAbove(theirs.size, 1_000)
      const { unlisted, unused } = compare(ours, theirs, listed[plane])
      assert.deepStrictEqual(unlisted, [])
      assert.deepStrictEqual(unused, [])
    })
  }
})
