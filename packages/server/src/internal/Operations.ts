/**
 * What a request asks for, by the name the contract gives it.
 *
 * @internal
 */
import * as HttpApi from "effect/http-api/HttpApi"
import type * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as FindMyWay from "effect/http/FindMyWay"

/** What settles or keeps a hold, or charges for what was done already: putting it off would cost the caller what it has. */
const settling: ReadonlySet<string> = new Set([
  "commitReservation",
  "releaseReservation",
  "extendReservation",
  "createEvent"
])

/** Whether an operation may be put off by a rate limit. */
export const isLimited = (operation: string): boolean => !settling.has(operation)

/** A method, a path, and the name of the operation they stand for. */
export type Named = readonly [method: string, path: `/${string}`, name: string]

/** The operations of a contract. */
export const namesOf = <Id extends string, Groups extends HttpApiGroup.Constraint>(
  api: HttpApi.HttpApi<Id, Groups>
): ReadonlyArray<Named> => {
  const names: Array<Named> = []
  HttpApi.reflect(api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint }) => {
      // A path of a contract begins with a slash.
      names.push([endpoint.method, endpoint.path as `/${string}`, endpoint.identifier])
    }
  })
  return names
}

/** Finds the name of the operation that a method and a URL stand for; `other` where there is none. */
export const finder = (names: ReadonlyArray<Named>): (method: string, url: string) => string => {
  const router = FindMyWay.make<string>({ maxParamLength: 2_048 })
  for (const [method, path, name] of names) router.on(method, path, name)
  return (method, url) => router.find(method, url)?.handler ?? "other"
}
