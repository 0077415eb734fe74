/**
 * Whose a request is: read from its headers.
 *
 * **Example** (A header, and a token)
 *
 * ```ts
 * import { Tenant } from "@effect-cycles/web"
 *
 * const sessions = new Map([["token-of-acme", "acme"]])
 *
 * export const byHeader = Tenant.header("X-Tenant-ID")
 * export const byToken = Tenant.bearer((token) => sessions.get(token))
 * ```
 *
 * @since 0.1.0
 */
import { MissingTenant } from "./Problem.ts"

/**
 * Reads a header by its name, in any case.
 *
 * @category models
 * @since 0.1.0
 */
export type Headers = (name: string) => string | undefined

/**
 * Whose a request is. Throws {@link MissingTenant} where it does not say.
 *
 * @category models
 * @since 0.1.0
 */
export type Resolver = (headers: Headers) => string | Promise<string>

const isName = /^[a-zA-Z0-9_.-]{1,128}$/

const checked = (name: string | undefined, missing: string): string => {
  if (name === undefined || name === "") throw new MissingTenant({ reason: missing })
  if (!isName.test(name)) throw new MissingTenant({ reason: "what it says is no tenant's name" })
  return name
}

/**
 * The tenant is named by a header. Whoever sends the request is believed, so this is for services behind a gateway that sets it.
 *
 * @category resolvers
 * @since 0.1.0
 */
export const header = (name: string): Resolver => (headers) =>
  checked(headers(name)?.trim(), `the header ${name} is missing`)

/**
 * The tenant is whose bearer token it is (`Authorization: Bearer …`), as a function knows it; `undefined` for a token that is
 * nobody's.
 *
 * @category resolvers
 * @since 0.1.0
 */
export const bearer = (
  tenantOf: (token: string) => string | undefined | Promise<string | undefined>
): Resolver =>
async (headers) => {
  const token = /^Bearer +(\S+) *$/i.exec(headers("authorization") ?? "")?.[1]
  if (token === undefined) throw new MissingTenant({ reason: "the header Authorization has no bearer token" })
  return checked(await tenantOf(token), "the token is nobody's")
}
