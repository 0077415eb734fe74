// The tools of an MCP server behind a budget of risk points: looking costs one, sending forty, and what has no budget left
// does not reach the server. The model is told why, as the failed result of its call.
import { McpGuard } from "@effect-cycles/ai"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { Amount, Budget, Ledger } from "effect-cycles"
import { McpClient, McpProtocol, McpServer, Tool, Toolkit } from "effect/ai"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"

// A server to guard. It knows nothing of budgets.
const mail = Toolkit.make(
  Tool.make("search_mail", { parameters: Schema.Struct({ from: Schema.String }), success: Schema.String }),
  Tool.make("send_mail", { parameters: Schema.Struct({ to: Schema.String }), success: Schema.String })
)

let sent = 0
const handlers = mail.toLayer({
  search_mail: ({ from }) => Effect.succeed(`3 mails of ${from}`),
  send_mail: ({ to }) =>
    Effect.sync(() => {
      sent++
      return `sent to ${to}`
    })
})

const mailServer = McpServer.layerHttp({
  name: "mail",
  version: "1.0.0",
  path: "/mcp",
  protocols: [McpProtocol.v2025_11_25],
  registrations: McpServer.toolkit(mail).pipe(Layer.provide(handlers))
})

const listening = HttpRouter.serve(mailServer, { disableListenLog: true, disableLogger: true }).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
)

const connection = Layer.unwrap(
  Effect.map(HttpServer.HttpServer, ({ address }) =>
    McpClient.layerHttp({
      name: "mcp-guard",
      version: "1.0.0",
      protocol: McpProtocol.v2025_11_25,
      url: `${HttpServer.formatAddress(address)}/mcp`
    }))
).pipe(Layer.provide([FetchHttpClient.layer, listening]))

const budget = Budget.layer({ subject: { agent: "mailer" } }).pipe(
  Layer.provide(Ledger.layerMemory({
    tenant: "acme",
    budgets: [{ scope: "tenant:acme/agent:mailer", allocated: Amount.riskPoints(100) }]
  }))
)

const program = Effect.gen(function*() {
  // This is what a model is given; here its calls are made by hand.
  const tools = yield* McpGuard.toolkit(yield* McpClient.McpClient, {
    cost: McpGuard.costs([["send_*", Amount.riskPoints(40)]], Amount.riskPoints(1))
  })
  const call = Effect.fnUntraced(function*(name: string, parameters: object) {
    const [result] = yield* Effect.flatMap(tools.handle(name, parameters), Stream.runCollect)
    const told: unknown = result?.encodedResult
    yield* Console.log(
      `${name}: ${
        typeof told === "object" && told !== null && "message" in told
          ? `denied, ${String(told.message).split(". ")[0]}`
          : String(told)
      }`
    )
  })
  yield* call("search_mail", { from: "ann" })
  yield* call("send_mail", { to: "ann" })
  yield* call("send_mail", { to: "bob" })
  yield* call("send_mail", { to: "cem" })
  yield* Console.log(`the server sent ${sent} mails`)
})

await Effect.runPromise(Effect.provide(program, [connection, budget]))
