/**
 * A real endpoint behind the demo's own HTTP side.
 */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Chat from "./Chat.ts"
import type { Answer, Backend } from "./Endpoint.ts"

const Billed = Schema.Struct({ usage: Chat.Usage })

const nothing: Chat.Usage = { prompt_tokens: 0, completion_tokens: 0 }

const unreachable = (message: string): Answer => ({ status: 502, usage: nothing, body: { error: { message } } })

export const make = Effect.fnUntraced(
  function*(options: { readonly baseUrl: URL; readonly apiKey: Redacted.Redacted }) {
    const client = (yield* HttpClient.HttpClient).pipe(
      HttpClient.mapRequest(HttpClientRequest.bearerToken(options.apiKey))
    )
    const url = `${options.baseUrl.href.replace(/\/$/, "")}/chat/completions`

    const backend: Backend = (_scenario, request) =>
      HttpClientRequest.post(url).pipe(
        HttpClientRequest.bodyJsonUnsafe(request),
        client.execute,
        Effect.flatMap((response) =>
          Effect.map(response.json, (body): Answer => ({
            status: response.status,
            usage: Schema.is(Billed)(body) ? body.usage : nothing,
            body
          }))
        ),
        Effect.catch((error) => Effect.succeed(unreachable(error.message)))
      )
    return backend
  }
)
