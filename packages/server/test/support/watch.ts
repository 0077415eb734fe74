/** What the tests' servers answer, held to the specification where it is at hand. */
import { WireSpecification, WireWatch } from "@effect-cycles/testing"
import { readFileSync } from "node:fs"
import { join } from "node:path"

const directory = process.env["CYCLES_SPEC_DIR"] ?? ""

/** The specification, where it is at hand. */
export const specification = directory === ""
  ? undefined
  : WireSpecification.make((file) => readFileSync(join(directory, file), "utf8"))

export const watch = WireWatch.make({ specification })
