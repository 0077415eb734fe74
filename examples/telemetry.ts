// What guards tell of themselves, sent over OTLP: spans and metrics go to a collector, for which a few lines of HTTP stand
// in here. With a collector of your own, only the address is another.
import { NodeHttpServer } from "@effect/platform-node"
import { Console, Context, Effect, Layer, Metric as Metrics } from "effect"
import { Action, Amount, Budget, Ledger } from "effect-cycles"
import { FetchHttpClient, HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Otlp } from "effect/observability"
import { createServer } from "node:http"

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: string; readonly doubleValue?: number }
}

interface Span {
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly startTimeUnixNano: string
  readonly attributes: ReadonlyArray<Attribute>
}

interface Metric {
  readonly name: string
  readonly sum?: { readonly dataPoints: ReadonlyArray<Point> }
}

interface Point {
  readonly attributes: ReadonlyArray<Attribute>
  readonly asDouble?: number
  readonly asInt?: string
}

const spans = new Map<string, Span>()
const counters = new Map<string, string>()

const valueOf = ({ value }: Attribute) => value.stringValue ?? value.intValue ?? value.doubleValue

interface Traces {
  readonly resourceSpans: ReadonlyArray<{ readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<Span> }> }>
}

interface Export {
  readonly resourceMetrics: ReadonlyArray<{
    readonly scopeMetrics: ReadonlyArray<{ readonly metrics: ReadonlyArray<Metric> }>
  }>
}

const received = HttpServerResponse.jsonUnsafe({})

// A collector as far as this program needs one: it keeps what it is sent.
const collector = HttpRouter.addAll([
  HttpRouter.route(
    "POST",
    "/v1/traces",
    Effect.gen(function*() {
      const body = (yield* (yield* HttpServerRequest.HttpServerRequest).json) as unknown as Traces
      for (const { scopeSpans } of body.resourceSpans) {
        for (const { spans: sent } of scopeSpans) for (const span of sent) spans.set(span.spanId, span)
      }
      return received
    })
  ),
  HttpRouter.route(
    "POST",
    "/v1/metrics",
    Effect.gen(function*() {
      const body = (yield* (yield* HttpServerRequest.HttpServerRequest).json) as unknown as Export
      for (const { scopeMetrics } of body.resourceMetrics) {
        for (const { metrics } of scopeMetrics) {
          for (const { name, sum } of metrics) {
            for (const { asDouble, asInt, attributes } of sum?.dataPoints ?? []) {
              if (!name.startsWith("cycles_")) continue
              const labels = attributes
                .filter(({ key }) => !["unit", "time_unit"].includes(key))
                .map((attribute) => `${attribute.key}=${valueOf(attribute)}`)
              counters.set(`${name} {${labels.sort().join(", ")}}`, String(asInt ?? asDouble))
            }
          }
        }
      }
      return received
    })
  ),
  HttpRouter.route("POST", "/v1/logs", Effect.succeed(received))
])

const ask = (prompt: string, tokens: number) =>
  Budget.guard({ action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(400) }, function*(r) {
    const text = yield* Effect.succeed(`${prompt}: done`).pipe(Effect.withSpan("call the model"))
    return r.commit(Amount.tokens(tokens), text)
  })

const agent = Effect.gen(function*() {
  yield* ask("a short one", 300)
  yield* ask("a long one", 500)
  yield* ask("one too many", 300).pipe(Effect.catchTag("BudgetExceeded", () => Effect.succeed("not today")))
}).pipe(
  Effect.withSpan("agent"),
  Budget.within({ agent: "writer" }),
  Effect.provide(
    Budget.layer().pipe(Layer.provide(Ledger.layerMemory({
      tenant: "acme",
      budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }]
    })))
  )
)

const shown = ["cycles.decision", "cycles.scope", "cycles.estimate", "cycles.charged", "cycles.outcome"]

const tree = (parent: string | undefined, indent: string): ReadonlyArray<string> =>
  Array.from(spans.values())
    .filter(({ parentSpanId = "" }) => parent === undefined ? !spans.has(parentSpanId) : parentSpanId === parent)
    .sort((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)))
    .flatMap(({ attributes, name, spanId }) => {
      const facts = shown.flatMap((key) => {
        const attribute = attributes.find((attribute) => attribute.key === key)
        return attribute === undefined ? [] : [`${key.slice("cycles.".length)}=${valueOf(attribute)}`]
      })
      return [[indent + name, ...facts].join(" "), ...tree(spanId, `${indent}  `)]
    })

const program = Effect.gen(function*() {
  const server = yield* Layer.build(
    HttpRouter.serve(collector, { disableListenLog: true, disableLogger: true }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
    )
  )
  const { address } = Context.get(server, HttpServer.HttpServer)
  const baseUrl = HttpServer.formatAddress(address)
  // What is left is sent when the layer ends, so a program that ends at once loses nothing.
  const telemetry = Otlp.layerJson({ baseUrl, resource: { serviceName: "writer" } }).pipe(
    Layer.provide(FetchHttpClient.layer)
  )
  yield* agent.pipe(Effect.provide(telemetry))
  for (const line of tree(undefined, "")) yield* Console.log(line)
  for (const [counter, value] of Array.from(counters).sort(([a], [b]) => a < b ? -1 : 1)) {
    yield* Console.log(`${counter} ${value}`)
  }
}).pipe(
  Effect.scoped,
  // Counters of this program's own, whatever else its process counts.
  Effect.provideService(Metrics.MetricRegistry, new Map())
)

await Effect.runPromise(program)
