// A meter says what has happened; an authority says what may happen. This agent heeds every kind of cap before it acts:
// tokens, steps, tools allowed and denied, and a cooldown.
import { Console, Context, Duration, Effect, Layer } from "effect"
import { Action, Amount, Budget, Caps, Ledger } from "effect-cycles"

class Llm extends Context.Service<Llm, {
  readonly complete: (
    context: string,
    maxTokens: number
  ) => Effect.Effect<{ readonly text: string; readonly tokens: number }>
}>()("examples/Llm") {}

class Web extends Context.Service<Web, {
  readonly search: (query: string) => Effect.Effect<string>
}>()("examples/Web") {}

const simulated = Layer.merge(
  Layer.succeed(Llm, {
    complete: (context, maxTokens) =>
      Effect.succeed({ text: `${maxTokens} tokens at most, from ${context}`, tokens: maxTokens - 100 })
  }),
  Layer.succeed(Web, { search: (query) => Effect.succeed(`the web on ${query}`) })
)

const step = Budget.guard(
  { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(4_000) },
  function*(r) {
    yield* Caps.awaitCooldown(r.caps)
    const waited = Duration.toMillis(Caps.cooldown(r.caps))
    const context = Caps.isToolAllowed(r.caps, "web_search")
      ? yield* Effect.flatMap(Web, (web) => web.search("findings"))
      : "cached context"
    // On the last step nothing is explored any more: a short summary is all.
    const wanted = Caps.isLastStep(r.caps) ? 500 : 4_000
    const out = yield* Effect.flatMap(Llm, (llm) => llm.complete(context, Caps.clampTokens(r.caps, wanted)))
    return r.commit(Amount.tokens(out.tokens), `after ${waited} ms, ${out.text}, used ${out.tokens}`)
  }
)

// A tool can also be gated: with `enforceCaps` a tool that the caps do not allow fails before its body runs.
const shell = Budget.guard(
  { action: Action.make("tool.call", "shell_exec"), estimate: Amount.tokens(100), enforceCaps: true },
  (r) => Effect.succeed(r.release("the shell ran"))
).pipe(Effect.catchTag("ToolNotAllowed", (e) => Effect.succeed(e.message)))

// A policy of the ledger's says which caps come with a yes.
const show = <E, R>(title: string, caps: Caps.Caps, call: Effect.Effect<string, E, R | Budget.Budget>) =>
  call.pipe(
    Effect.flatMap((line) => Console.log(`${title}: ${line}`)),
    Effect.provide(Layer.provide(
      Budget.layer({ subject: { agent: "research-bot" } }),
      Ledger.layerMemory({
        tenant: "acme",
        budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(50_000) }],
        policies: [{ name: title, scopePattern: "agent:research-bot", caps }]
      })
    ))
  )

const program = Effect.gen(function*() {
  yield* show("no limit", {}, step)
  yield* show("low budget", { maxTokens: 500 }, step)
  yield* show("no web", { toolDenylist: ["web_search"], cooldownMs: 20 }, step)
  yield* show("only the cache", { toolAllowlist: ["read_cache"], maxTokens: 2_000 }, step)
  yield* show("last step", { toolAllowlist: ["web_search"], maxStepsRemaining: 1 }, step)
  yield* show("a tool", {}, shell)
  yield* show("a denied tool", { toolDenylist: ["shell_exec", "file_write"] }, shell)
}).pipe(Effect.provide(simulated))

await Effect.runPromise(program)
