/**
 * The version of this package.
 *
 * @internal
 */
import * as WireJson from "@effect-cycles/http/WireJson"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"

const manifest = WireJson.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))

const found = Result.isSuccess(manifest) ? manifest.success : undefined

export const version: string = typeof found === "object" && found !== null && "version" in found
  ? String(found.version)
  : "unknown"
