// A test without an assertion proves nothing, so `requireAssertions` (see vitest.workspace.ts) turns it red. Vitest only
// counts `expect`; our tests use chai's `assert`, whose every function ends in `Assertion.prototype.assert`.
import { beforeEach, chai, expect } from "vitest"

const assertion = chai.Assertion.prototype as { assert: (...args: Array<unknown>) => void }
const original = assertion.assert

assertion.assert = function(...args) {
  if (expect.getState().assertionCalls === 0) expect.setState({ assertionCalls: 1 })
  return original.apply(this, args)
}

beforeEach(({ task }) => {
  if (task.concurrent === true) {
    throw new Error("the assertions of concurrent tests cannot be told apart: not allowed here")
  }
})
