/**
 * A process that answers what a reserve and a commit are answered, and does nothing else: with `node` by `node:http` alone, with
 * `api` by a plain `HttpApi` whose schemas check both bodies. Its first line is its URL.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createServer } from "node:http"
import { portOf } from "./servers.ts"

const ReservationId = "01a20312-1046-7a79-b081-6c0610e450f6"

const Amount = Schema.Struct({ unit: Schema.String, amount: Schema.Int })

const Reserve = Schema.Struct({
  idempotency_key: Schema.String,
  subject: Schema.Struct({ tenant: Schema.String }),
  action: Schema.Struct({ kind: Schema.String, name: Schema.String }),
  estimate: Amount
})

const Reserved = Schema.Struct({
  decision: Schema.String,
  reservation_id: Schema.String,
  reserved: Amount,
  expires_at_ms: Schema.Int,
  remaining_ttl_ms: Schema.Int,
  scope_path: Schema.String,
  affected_scopes: Schema.Array(Schema.String)
})

const Commit = Schema.Struct({ idempotency_key: Schema.String, actual: Amount })

const Committed = Schema.Struct({ status: Schema.String, charged: Amount, released: Amount })

const reserved = ({ estimate, subject }: typeof Reserve.Type): typeof Reserved.Type => ({
  decision: "ALLOW",
  reservation_id: ReservationId,
  reserved: estimate,
  expires_at_ms: Date.now() + 60_000,
  remaining_ttl_ms: 60_000,
  scope_path: `tenant:${subject.tenant}`,
  affected_scopes: [`tenant:${subject.tenant}`]
})

const committed = ({ actual }: typeof Commit.Type): typeof Committed.Type => ({
  status: "COMMITTED",
  charged: actual,
  released: { unit: actual.unit, amount: 580 }
})

const node = createServer()

const told = (): void => console.log(`http://127.0.0.1:${portOf(node.address())}`)

const Api = HttpApi.make("echo").add(
  HttpApiGroup.make("runtime").add(
    HttpApiEndpoint.post("reserve", "/v1/reservations", { payload: Reserve, success: Reserved }),
    HttpApiEndpoint.post("commit", "/v1/reservations/:id/commit", {
      params: { id: Schema.String },
      payload: Commit,
      success: Committed
    })
  )
)

const byApi = HttpRouter.serve(
  HttpApiBuilder.layer(Api).pipe(
    Layer.provide(
      HttpApiBuilder.group(Api, "runtime", (handlers) =>
        handlers
          .handle("reserve", ({ payload }) => Effect.succeed(reserved(payload)))
          .handle("commit", ({ payload }) => Effect.succeed(committed(payload))))
    )
  ),
  { disableLogger: true, disableListenLog: true }
).pipe(
  Layer.provide(NodeHttpServer.layer(() => node, { port: 0, host: "127.0.0.1" })),
  Layer.tap(() => Effect.sync(told))
)

const byNode = (): void => {
  node.on("request", (request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      // Only the load of this benchmark comes here.
      const body = JSON.parse(Buffer.concat(chunks).toString()) as typeof Reserve.Type & typeof Commit.Type
      const text = JSON.stringify(request.url === "/v1/reservations" ? reserved(body) : committed(body))
      response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) })
      response.end(text)
    })
  })
  node.listen(0, "127.0.0.1", told)
  process.once("SIGTERM", () => process.exit(0))
}

if (process.argv[2] === "node") byNode()
else NodeRuntime.runMain(Layer.launch(byApi))
