// package-lock.json names no host, so that an install uses the registry npm is set up with. `.npmrc` sees to it.
import { readFileSync } from "node:fs"
import { join } from "node:path"

export const checkLockfile = (root) => {
  const packages = Object.entries(JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages)
  return {
    problems: packages
      .filter(([, { resolved }]) => resolved?.includes("://"))
      .map(([name]) => `package-lock.json: ${name} is resolved to a host`),
    summary: `${packages.length} packages`
  }
}
