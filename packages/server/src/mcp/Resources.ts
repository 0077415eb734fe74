/**
 * Resources: balances and reservations to look at, and guides to read.
 *
 * @internal
 */
import * as WireJson from "@effect-cycles/http/WireJson"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { ReservationId } from "effect-cycles/protocol/Ids"
import * as McpSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Guides from "./Guides.ts"
import * as Words from "./Words.ts"

const JSON_TYPE = "application/json"

const document = (uri: string, reply: object): McpSchema.ReadResourceResult => ({
  contents: [{ uri, mimeType: JSON_TYPE, text: WireJson.stringify(Words.plain(reply)) }]
})

const guide = (name: string, title: string, text: string) => {
  const uri = `cycles://docs/${name}`
  return McpServer.registerResource({
    uri,
    name: title,
    description: title,
    mimeType: "text/markdown",
    content: Effect.succeed<McpSchema.ReadResourceResult>({ contents: [{ uri, mimeType: "text/markdown", text }] })
  })
}

/** Adds the resources to a server. */
export const register = ({ authority }: { readonly authority: Operations }) =>
  Effect.all([
    McpServer.registerResource`cycles://balances/${McpSchema.param("tenant", Schema.String)}`({
      name: "Balances of a tenant",
      description: "What is left of each budget of a tenant",
      mimeType: JSON_TYPE,
      content: (uri, tenant) =>
        Effect.map(authority.balances({ tenant, includeChildren: true, limit: 200 }), (page) => document(uri, page))
    }),
    McpServer.registerResource`cycles://reservations/${McpSchema.param("reservation_id", ReservationId)}`({
      name: "A reservation",
      description: "What a reservation holds, and how it ended",
      mimeType: JSON_TYPE,
      content: (uri, id) => Effect.map(authority.reservation(id), (record) => document(uri, record))
    }),
    guide("quickstart", "Working within a budget", Guides.quickstart),
    guide("patterns", "Patterns", Guides.patterns)
  ], { discard: true })
