// The registry of action kinds: what is kept is the same for everyone, so it is filtered and paged here.
import { NotFound } from "effect-cycles/protocol/CyclesError"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Wire from "../../governance/ActionKinds.ts"
import { GovernanceApi } from "../../GovernanceApi.ts"
import { kinds, VERSION } from "../actionKinds.ts"
import { Malformed } from "../answering.ts"
import { given, governed } from "./answers.ts"

const answers = {
  list: governed("listActionKinds", Wire.ActionKindRegistry),
  get: governed("getActionKind", Wire.ActionKind)
}

const byKind = new Map(kinds.map((kind) => [kind.kind, kind]))

/** The answer of one query is the same as long as the registry is. */
const tagOf = ({ cursor, deprecated, limit, risk_class }: Wire.ActionKindsParameters): string =>
  `"${
    [VERSION, risk_class ?? "", deprecated === true, limit ?? "", cursor ?? ""].map(String).map(encodeURIComponent)
      .join("/")
  }"`

/** Whether a client has the answer already. Source: RFC 9110, If-None-Match. */
const isKnown = (header: string | undefined, tag: string): boolean =>
  header !== undefined &&
  header.split(",").map((one) => one.trim().replace(/^W\//, "")).some((one) => one === "*" || one === tag)

const pageOf = (
  { cursor, deprecated = false, limit = 50, risk_class }: Wire.ActionKindsParameters
): Effect.Effect<Wire.ActionKindRegistry, Malformed> => {
  const all = kinds.filter((kind) =>
    (risk_class === undefined || kind.risk_class === risk_class) && (deprecated || kind.deprecated !== true)
  )
  const after = cursor === undefined ? -1 : all.findIndex(({ kind }) => kind === cursor)
  if (cursor !== undefined && after < 0) {
    return Effect.fail(new Malformed({ field: "cursor", reason: "it was not given for these filters" }))
  }
  const page = all.slice(after + 1, after + 1 + limit)
  const hasMore = after + 1 + limit < all.length
  return Effect.succeed(
    given({
      version: VERSION,
      kinds: page,
      next_cursor: hasMore ? page[page.length - 1]?.kind : undefined,
      has_more: hasMore
    })
  )
}

export const actionKinds = HttpApiBuilder.group(GovernanceApi, "actionKinds", (handlers) =>
  handlers
    .handleRaw("listActionKinds", ({ query }) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
        const tag = tagOf(query)
        const cached = HttpServerResponse.setHeaders({ "etag": tag, "cache-control": "public, max-age=3600" })
        return Effect.map(
          answers.list(pageOf(query)),
          (response) =>
            response.status !== 200
              ? response
              : cached(
                isKnown(headers["if-none-match"], tag) ? HttpServerResponse.empty({ status: 304 }) : response
              )
        )
      }))
    .handleRaw("getActionKind", ({ params }) => {
      const kind = byKind.get(params.kind)
      return answers.get(
        kind === undefined
          ? Effect.fail(new NotFound({ reason: "It is not in the registry; look it up in the list" }))
          : Effect.succeed(kind)
      )
    }))
