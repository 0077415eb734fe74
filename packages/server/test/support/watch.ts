/** What the tests' servers answer, held to the specification where it is at hand. */
import { WireSpecification, WireWatch } from "@effect-cycles/testing"
import { readFileSync } from "node:fs"
import { join } from "node:path"

const directory = process.env["CYCLES_SPEC_DIR"] ?? ""

/** The specification, where it is at hand. */
export const specification = directory === ""
  ? undefined
  : WireSpecification.make((file) => readFileSync(join(directory, file), "utf8"))

/** A preflight of a browser, and a path that the port asked has not got, are no operations. */
const isNoOperation = ({ body, method, status }: WireSpecification.Exchange): boolean =>
  method === "OPTIONS" || status === 404 && body.includes(`"There is no ${method} on this path"`)

export const watch = WireWatch.make({
  specification,
  isOurs: (path) => /^\/v1\/admin\/(?:history|control)\//.test(path),
  isDeliberate: isNoOperation
})
